// An Intel GPU that is not there: answers what Mesa's ANV asks a kernel about its device, so that
// ANV opens, compiles and allocates. Preloaded (LD_PRELOAD) into a process that needs no real one.
//
//   HOTSET_ISA_PCI   the device's PCI id in hexadecimal, which says its generation
//
// Needs no headers of libdrm or the kernel: the numbers and structs are those of drm.h, i915_drm.h
// and xf86drm.h on 64-bit machines.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char NODE[] = "/dev/dri/renderD128";

static int pci_id(void) {
  const char *text = getenv("HOTSET_ISA_PCI");
  return text ? (int)strtol(text, NULL, 16) : 0x9a49;
}

// ---- what libdrm finds --------------------------------------------------------------------------

typedef struct {
  uint16_t domain;
  uint8_t bus, device, function;
} PciBus;

typedef struct {
  uint16_t vendor, device, subvendor, subdevice;
  uint8_t revision;
} PciDevice;

typedef struct {
  char **nodes; // primary, control, render
  int available, bus_type;
  PciBus *bus;
  PciDevice *device;
} DrmDevice;

typedef struct {
  DrmDevice drm; // first: libdrm frees it
  char *nodes[3];
  char paths[3][64];
  PciBus bus;
  PciDevice device;
} Found;

static DrmDevice *device_found(void) {
  Found *found = calloc(1, sizeof *found);
  for (int i = 0; i < 3; i++) found->nodes[i] = found->paths[i];
  strcpy(found->paths[2], NODE);
  found->device = (PciDevice){.vendor = 0x8086, .device = (uint16_t)pci_id()};
  found->drm = (DrmDevice){.nodes = found->nodes, .available = 1 << 2, .bus = &found->bus, .device = &found->device};
  found->bus.device = 2;
  return &found->drm;
}

int drmGetDevices2(uint32_t flags, DrmDevice **devices, int most) {
  (void)flags;
  if (devices && most > 0) devices[0] = device_found();
  return 1;
}

int drmGetDevice2(int file, uint32_t flags, DrmDevice **device) {
  (void)file, (void)flags;
  *device = device_found();
  return 0;
}

// ---- files --------------------------------------------------------------------------------------

/** All that the device maps: memory that takes no room until it is written. */
static int memory(void) {
  static int file = -1;
  if (file < 0) {
    file = memfd_create("intel", 0);
    if (ftruncate(file, (off_t)1 << 42) != 0) abort();
  }
  return dup(file);
}

#define OPEN(name)                                                 \
  int name(const char *path, int flags, ...) {                     \
    if (strcmp(path, NODE) == 0) return memory();                  \
    int (*next)(const char *, int, int) = dlsym(RTLD_NEXT, #name); \
    va_list more;                                                  \
    va_start(more, flags);                                         \
    const int mode = va_arg(more, int);                            \
    va_end(more);                                                  \
    return next(path, flags, mode);                                \
  }
OPEN(open)
OPEN(open64)

// ---- what the kernel answers --------------------------------------------------------------------

typedef struct {
  uint64_t id;
  int32_t length;
  uint32_t flags;
  void *data;
} Item;

typedef struct {
  uint16_t flags, slices, subslices, units, subslice_offset, subslice_stride, unit_offset, unit_stride;
  uint8_t masks[1 + 1 + 6 * 2]; // one slice of six subslices of sixteen units, two bytes each
} Topology;

typedef struct {
  uint32_t count, reserved[3];
  struct {
    uint16_t kind, instance;
    uint32_t reserved;
    uint64_t flags, capabilities, rest[4];
  } engines[2];
} Engines;

typedef struct {
  uint32_t count, reserved[3];
  struct {
    uint16_t kind, instance;
    uint32_t reserved;
    uint64_t bytes, free_bytes, rest[8];
  } regions[2];
} Regions;

/** Discrete cards have memory of their own: DG2's ids. */
static int has_own_memory(void) { return (pci_id() & 0xff00) == 0x5600; }

static int answer(Item *item, const void *data, size_t bytes) {
  if (item->length != 0) memcpy(item->data, data, bytes);
  item->length = (int32_t)bytes;
  return 0;
}

static int query(Item *item) {
  const uint64_t GiB = 1 << 30;
  switch (item->id) {
    case 1:   // topology
    case 6: { // the same for geometry
      Topology t = {.slices = 1, .subslices = 6, .units = 16, .subslice_offset = 1, .subslice_stride = 1,
                    .unit_offset = 2, .unit_stride = 2, .masks = {1, 0x3f}};
      memset(t.masks + 2, 0xff, 12);
      return answer(item, &t, 16 + sizeof t.masks);
    }
    case 2: { // engines: render and copy
      const Engines e = {.count = 2, .engines = {{.kind = 0}, {.kind = 1}}};
      return answer(item, &e, sizeof e);
    }
    case 4: { // memory: the system's, and the card's own
      const Regions r = {.count = has_own_memory() ? 2 : 1,
                         .regions = {{.kind = 0, .bytes = 64 * GiB, .free_bytes = 64 * GiB},
                                     {.kind = 1, .bytes = 64 * GiB, .free_bytes = 64 * GiB, .rest = {64 * GiB, 64 * GiB}}}};
      return answer(item, &r, 16 + r.count * sizeof r.regions[0]);
    }
    default:
      item->length = -EINVAL;
      return 0;
  }
}

static int parameter(int which) {
  switch (which) {
    case 4: return pci_id();
    case 17: return !has_own_memory(); // a cache that it shares with the CPU
    case 18: return 3;                 // full PPGTT
    case 28: return 10;                // version of the command parser
    case 32: return 0;                 // revision
    case 33: return 6;                 // subslices
    case 34: return 96;                // units
    case 30:
    case 40: return 4;                 // mapping by offsets
    case 46: return 1;                 // mask of slices
    case 47: return 0x3f;              // mask of subslices
    case 51: return 19200000;          // Hz of timestamps
    default: return 1;
  }
}

typedef struct {
  size_t length;
  char *text;
} Text;

static void say(Text *to, const char *text) {
  const size_t length = strlen(text);
  if (to->text) memcpy(to->text, text, to->length < length ? to->length : length);
  to->length = length;
}

static int version(void *argument) {
  struct {
    int parts[3];
    Text name, date, description;
  } *v = argument;
  v->parts[0] = 1, v->parts[1] = 6;
  say(&v->name, "i915");
  say(&v->date, "-");
  say(&v->description, "-");
  return 0;
}

/** Bytes of the file that objects take, and where each begins. */
static uint64_t objects_end = 1 << 20;
static uint64_t objects[1 << 16];
static uint32_t objects_count = 1;

static int make_object(uint64_t bytes, uint32_t *handle) {
  if (objects_count == sizeof objects / sizeof *objects) return errno = ENOMEM, -1;
  objects[objects_count] = objects_end;
  objects_end += (bytes + 0x1fffff) / 0x200000 * 0x200000;
  *handle = objects_count++;
  return 0;
}

static int drm(unsigned number, void *argument) {
  uint32_t *words = argument;
  uint64_t *longs = argument;
  switch (number) {
    case 0x00: return version(argument);
    case 0x0c: return longs[1] = 1, 0;               // capabilities
    case 0xbf: return words[0] = 1, 0;               // create a syncobj
    case 0xcb:                                       // points that timelines have come to
      for (uint32_t i = 0; i < words[4]; i++) ((uint64_t *)longs[1])[i] = UINT64_MAX / 2;
      return 0;
    case 0x46: return *((int **)argument)[1] = parameter((int)words[0]), 0;
    case 0x5b: // create an object: the old way and the new
    case 0x7c: return make_object(longs[0], &words[2]);
    case 0x73: return make_object(longs[1], &words[5]); // of the caller's memory
    case 0x63: return longs[0] = longs[1] = (uint64_t)1 << 48, 0;
    case 0x64: return longs[1] = objects[words[0]], 0; // where to map it
    case 0x6d: return words[0] = 1, 0;                 // create a context
    case 0x74: return longs[2] = longs[1] == 3 ? (uint64_t)1 << 48 : 0, 0;
    case 0x79:
      for (uint32_t i = 0; i < words[0]; i++) query((Item *)longs[1] + i);
      return 0;
    case 0x7a: return words[2] = 1, 0; // create an address space
    default: return 0;                 // done, by nothing
  }
}

int ioctl(int file, unsigned long request, ...) {
  va_list more;
  va_start(more, request);
  void *argument = va_arg(more, void *);
  va_end(more);
  if ((request >> 8 & 0xff) == 'd') return drm(request & 0xff, argument);
  int (*next)(int, unsigned long, void *) = dlsym(RTLD_NEXT, "ioctl");
  return next(file, request, argument);
}
