// A folder of files as the reader sees it, so that the same reader serves a disk, a browser and a test.

/** Read access to one folder. Names are plain file names of that folder. */
export interface Files {
  /** What to call the folder in messages. */
  readonly label: string;
  /** Names of the files in the folder. */
  list(): Promise<readonly string[]>;
  /** Size in bytes, or null where there is no such file. */
  size(name: string): Promise<number | null>;
  /**
   * Fills `into` from byte `offset` of the file.
   * @throws WeightsError, naming the file and byte, if the file ends before that.
   */
  read(name: string, offset: number, into: Uint8Array): Promise<void>;
  /** Releases open handles. */
  close(): Promise<void>;
}
