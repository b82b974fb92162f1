// A Vulkan driver in front of another one: compiles pipelines as that one does, writes down what
// became of each, and runs nothing. Mesa's drivers compile for a device that is not there, but
// fail as soon as commands are recorded or waited for; here both are done at once, by nothing.
//
//   HOTSET_ISA_DRIVER   the shared library of the driver behind
//   HOTSET_ISA_FOLDER   gets a file for each pipeline, in order: 0.txt, 1.txt, ...
//
// A file has "executable <subgroup size>", then lines "statistic <name>\t<value>", then for each
// text of the compiler "text <bytes> <name>" and the text.
//
// Needs no Vulkan headers: the few structs that it reads are declared here, as vulkan_core.h has
// them on 64-bit machines.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef void (*Function)(void);
typedef Function (*GetProc)(void *handle, const char *name);
typedef uint64_t Handle;

enum {
  CAPTURE = 0x40 | 0x80, // statistics and internal representations
  PIPELINE_INFO = 1000269001,
  EXECUTABLE_PROPERTIES,
  EXECUTABLE_INFO,
  EXECUTABLE_STATISTIC,
  EXECUTABLE_REPRESENTATION,
  LOADER_MAGIC = 0x01CDC0DE, // where the loader puts its table of a dispatchable handle
};

typedef struct {
  uint32_t type;
  const void *next;
  uint32_t flags;
  char stage[48];
  Handle layout, base;
  int32_t base_index;
} ComputePipelineInfo;

typedef struct {
  uint32_t type;
  const void *next;
  Handle pipeline;
  uint32_t index; // of EXECUTABLE_INFO only
} Asked;

typedef struct {
  uint32_t type;
  void *next;
  uint32_t stages;
  char name[256], description[256];
  uint32_t subgroup;
} Executable;

typedef struct {
  uint32_t type;
  void *next;
  char name[256], description[256];
  uint32_t format; // bool, int64, uint64, double
  union {
    uint32_t whether;
    int64_t integer;
    uint64_t natural;
    double real;
  } value;
} Statistic;

typedef struct {
  uint32_t type;
  void *next;
  char name[256], description[256];
  uint32_t is_text;
  size_t size;
  char *data;
} Representation;

typedef struct {
  uint32_t type;
  const void *next;
  Handle pool;
  uint32_t level, count;
} CommandBuffersInfo;

typedef struct {
  uint32_t type;
  const void *next;
  Handle pool;
  uint32_t count;
} DescriptorSetsInfo;

typedef struct {
  uint32_t type;
  const void *next;
  uint64_t bytes;
  uint32_t memory_type;
} MemoryInfo;

typedef struct {
  uint32_t types;
  struct {
    uint32_t flags, heap;
  } type[32];
  uint32_t heaps;
  struct {
    uint64_t bytes;
    uint32_t flags;
  } heap[16];
} MemoryProperties;

typedef struct {
  uint64_t bytes, alignment;
  uint32_t types;
} MemoryRequirements;

/** What functions whose names end in 2 fill in, or are asked about. */
typedef struct {
  uint32_t type;
  void *next;
  MemoryProperties properties;
} MemoryProperties2;

typedef struct {
  uint32_t type;
  void *next;
  MemoryRequirements requirements;
} MemoryRequirements2;

typedef int32_t (*CreateComputePipelines)(void *, Handle, uint32_t, const ComputePipelineInfo *, const void *, Handle *);
typedef int32_t (*Query)(void *device, const Asked *, uint32_t *count, void *found);

static GetProc driver; // vk_icdGetInstanceProcAddr of the driver behind
static void *library;
static void *instance; // the last one that was made

static void load(void) {
  if (driver) return;
  const char *path = getenv("HOTSET_ISA_DRIVER");
  library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  driver = library ? (GetProc)dlsym(library, "vk_icdGetInstanceProcAddr") : NULL;
  if (driver) return;
  fprintf(stderr, "HOTSET_ISA_DRIVER: expected a Vulkan driver: %s\n", library ? path : dlerror());
  exit(1);
}

// ---- what became of a pipeline ------------------------------------------------------------------

static void write_statistics(FILE *file, void *device, const Asked *asked) {
  Query query = (Query)driver(instance, "vkGetPipelineExecutableStatisticsKHR");
  uint32_t count = 0;
  query(device, asked, &count, NULL);
  Statistic *all = calloc(count + 1, sizeof *all);
  for (uint32_t i = 0; i < count; i++) all[i].type = EXECUTABLE_STATISTIC;
  query(device, asked, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    const Statistic *s = &all[i];
    const double value = s->format == 0   ? s->value.whether
                         : s->format == 1 ? (double)s->value.integer
                         : s->format == 2 ? (double)s->value.natural
                                          : s->value.real;
    fprintf(file, "statistic %s\t%.17g\n", s->name, value);
  }
  free(all);
}

static void write_texts(FILE *file, void *device, const Asked *asked) {
  Query query = (Query)driver(instance, "vkGetPipelineExecutableInternalRepresentationsKHR");
  uint32_t count = 0;
  query(device, asked, &count, NULL);
  Representation *all = calloc(count + 1, sizeof *all);
  for (uint32_t i = 0; i < count; i++) all[i].type = EXECUTABLE_REPRESENTATION;
  query(device, asked, &count, all); // their sizes
  for (uint32_t i = 0; i < count; i++) all[i].data = calloc(all[i].size + 1, 1);
  query(device, asked, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    const size_t bytes = all[i].is_text ? strlen(all[i].data) : 0;
    fprintf(file, "text %zu %s\n", bytes, all[i].name);
    fwrite(all[i].data, 1, bytes, file);
    fputc('\n', file);
    free(all[i].data);
  }
  free(all);
}

static void write_pipeline(void *device, Handle pipeline) {
  static int number = 0; // one pipeline is made at a time
  const char *folder = getenv("HOTSET_ISA_FOLDER");
  char path[4096];
  snprintf(path, sizeof path, "%s/%d.txt", folder ? folder : ".", number++);
  FILE *file = fopen(path, "w");
  if (!file) return perror(path);
  Query query = (Query)driver(instance, "vkGetPipelineExecutablePropertiesKHR");
  const Asked of = {.type = PIPELINE_INFO, .pipeline = pipeline};
  Executable found[4] = {{.type = EXECUTABLE_PROPERTIES}};
  uint32_t count = 1; // of a compute pipeline
  query(device, &of, &count, found);
  if (count > 0) {
    const Asked asked = {.type = EXECUTABLE_INFO, .pipeline = pipeline, .index = 0};
    fprintf(file, "executable %u\n", found[0].subgroup);
    write_statistics(file, device, &asked);
    write_texts(file, device, &asked);
  }
  fclose(file);
}

static int32_t create_compute_pipelines(void *device, Handle cache, uint32_t count, const ComputePipelineInfo *infos,
                                        const void *allocator, Handle *pipelines) {
  CreateComputePipelines create = (CreateComputePipelines)driver(instance, "vkCreateComputePipelines");
  ComputePipelineInfo *captured = malloc(count * sizeof *captured);
  memcpy(captured, infos, count * sizeof *captured);
  for (uint32_t i = 0; i < count; i++) captured[i].flags |= CAPTURE;
  (void)cache; // what it holds has no statistics
  const int32_t result = create(device, 0, count, captured, allocator, pipelines);
  free(captured);
  if (result == 0)
    for (uint32_t i = 0; i < count; i++) write_pipeline(device, pipelines[i]);
  return result;
}

// ---- what is done by nothing --------------------------------------------------------------------

static int32_t success(void) { return 0; }

static int32_t create_object(void *device, const void *info, const void *allocator, Handle *made) {
  static Handle last = 0;
  (void)device, (void)info, (void)allocator;
  *made = ++last;
  return 0;
}

static int32_t allocate_command_buffers(void *device, const CommandBuffersInfo *info, uintptr_t **made) {
  (void)device;
  for (uint32_t i = 0; i < info->count; i++) {
    made[i] = calloc(8, sizeof **made); // never freed: a few bytes each
    *made[i] = LOADER_MAGIC;
  }
  return 0;
}

static int32_t allocate_descriptor_sets(void *device, const DescriptorSetsInfo *info, Handle *made) {
  for (uint32_t i = 0; i < info->count; i++) create_object(device, NULL, NULL, &made[i]);
  return 0;
}

/** One heap, whose memory the host sees. */
static void memory_properties(void *device, MemoryProperties *into) {
  (void)device;
  memset(into, 0, sizeof *into);
  into->types = into->heaps = 1;
  into->type[0].flags = 1 | 2 | 4 | 8; // on the device, mapped, coherent, cached
  into->heap[0].bytes = (uint64_t)64 << 30;
  into->heap[0].flags = 1; // on the device
}

static void memory_properties2(void *device, MemoryProperties2 *into) { memory_properties(device, &into->properties); }

typedef struct {
  size_t bytes;
} Memory; // at the start of the first page before what is mapped

enum { PAGE = 4096 };

/** Memory that takes no room until it is written. */
static int32_t allocate_memory(void *device, const MemoryInfo *info, const void *allocator, Handle *made) {
  (void)device, (void)allocator;
  const size_t bytes = info->bytes + PAGE;
  Memory *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return -2; // out of device memory
  memory->bytes = bytes;
  *made = (Handle)(uintptr_t)memory;
  return 0;
}

static void free_memory(void *device, Handle memory) {
  (void)device;
  if (memory) munmap((void *)(uintptr_t)memory, ((Memory *)(uintptr_t)memory)->bytes);
}

static int32_t map_memory(void *device, Handle memory, uint64_t from, uint64_t bytes, uint32_t flags, void **at) {
  (void)device, (void)bytes, (void)flags;
  *at = (char *)(uintptr_t)memory + PAGE + from;
  return 0;
}

static void buffer_requirements(void *device, Handle buffer, MemoryRequirements *into) {
  ((void (*)(void *, Handle, MemoryRequirements *))driver(instance, "vkGetBufferMemoryRequirements"))(device, buffer, into);
  into->types = 1;
}

static void buffer_requirements2(void *device, const void *info, MemoryRequirements2 *into) {
  typedef void (*Get)(void *, const void *, MemoryRequirements2 *);
  ((Get)driver(instance, "vkGetBufferMemoryRequirements2"))(device, info, into);
  into->requirements.types = 1;
}

static GetProc driver_device;
static Function device_proc(void *device, const char *name);

static const struct {
  const char *name;
  Function function;
} INSTEAD[] = {
#define NOTHING(name) {#name, (Function)success}
#define OBJECT(name) {#name, (Function)create_object}
    NOTHING(vkBeginCommandBuffer),
    NOTHING(vkEndCommandBuffer),
    NOTHING(vkResetCommandBuffer),
    NOTHING(vkFreeCommandBuffers),
    OBJECT(vkCreateCommandPool),
    NOTHING(vkResetCommandPool),
    NOTHING(vkTrimCommandPool),
    NOTHING(vkDestroyCommandPool),
    {"vkAllocateCommandBuffers", (Function)allocate_command_buffers},
    NOTHING(vkQueueSubmit),
    NOTHING(vkQueueSubmit2),
    NOTHING(vkQueueSubmit2KHR),
    NOTHING(vkQueueWaitIdle),
    NOTHING(vkDeviceWaitIdle),
    OBJECT(vkCreateFence),
    NOTHING(vkWaitForFences),
    NOTHING(vkGetFenceStatus),
    NOTHING(vkResetFences),
    NOTHING(vkDestroyFence),
    OBJECT(vkCreateSemaphore),
    NOTHING(vkDestroySemaphore),
    OBJECT(vkCreateQueryPool),
    NOTHING(vkGetQueryPoolResults),
    NOTHING(vkDestroyQueryPool),
    OBJECT(vkCreateDescriptorPool),
    NOTHING(vkResetDescriptorPool),
    NOTHING(vkDestroyDescriptorPool),
    {"vkAllocateDescriptorSets", (Function)allocate_descriptor_sets},
    NOTHING(vkUpdateDescriptorSets),
    NOTHING(vkFreeDescriptorSets),
    {"vkGetPhysicalDeviceMemoryProperties", (Function)memory_properties},
    {"vkGetPhysicalDeviceMemoryProperties2", (Function)memory_properties2},
    {"vkGetPhysicalDeviceMemoryProperties2KHR", (Function)memory_properties2},
    {"vkAllocateMemory", (Function)allocate_memory},
    {"vkFreeMemory", (Function)free_memory},
    {"vkMapMemory", (Function)map_memory},
    NOTHING(vkUnmapMemory),
    NOTHING(vkFlushMappedMemoryRanges),
    NOTHING(vkInvalidateMappedMemoryRanges),
    NOTHING(vkBindBufferMemory),
    NOTHING(vkBindBufferMemory2),
    NOTHING(vkBindBufferMemory2KHR),
    {"vkGetBufferMemoryRequirements", (Function)buffer_requirements},
    {"vkGetBufferMemoryRequirements2", (Function)buffer_requirements2},
    {"vkGetBufferMemoryRequirements2KHR", (Function)buffer_requirements2},
    {"vkCreateComputePipelines", (Function)create_compute_pipelines},
    {"vkGetDeviceProcAddr", (Function)device_proc},
};

/** What stands for a function; NULL: the driver's own. */
static Function instead(const char *name) {
  if (strncmp(name, "vkCmd", 5) == 0) return (Function)success;
  for (size_t i = 0; i < sizeof INSTEAD / sizeof *INSTEAD; i++)
    if (strcmp(name, INSTEAD[i].name) == 0) return INSTEAD[i].function;
  return NULL;
}

static Function device_proc(void *device, const char *name) {
  const Function own = instead(name);
  if (!driver_device) driver_device = (GetProc)driver(instance, "vkGetDeviceProcAddr");
  return own ? own : driver_device(device, name);
}

// ---- what the loader looks for ------------------------------------------------------------------

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  load();
  int32_t (*negotiate)(uint32_t *) = dlsym(library, "vk_icdNegotiateLoaderICDInterfaceVersion");
  return negotiate(version);
}

Function vk_icdGetInstanceProcAddr(void *of, const char *name) {
  load();
  if (of) instance = of;
  const Function own = of ? instead(name) : NULL;
  return own ? own : driver(of, name);
}

Function vk_icdGetPhysicalDeviceProcAddr(void *of, const char *name) {
  load();
  const Function own = instead(name);
  GetProc get = (GetProc)dlsym(library, "vk_icdGetPhysicalDeviceProcAddr");
  return own && strncmp(name, "vkGetPhysicalDevice", 19) == 0 ? own : get ? get(of, name) : NULL;
}
