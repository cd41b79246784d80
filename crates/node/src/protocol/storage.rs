//! The records about memory that JavaScript owns: guarded sends, files and NVMe devices.
//!
//! An operation on a file or device is numbered by JavaScript, below the worker's limit of operations in flight, and its
//! number is free again with the record of its end. It shares a word with the slot of the file or device, which is why
//! both have 16 bits.

/// Kinds of completion records.
pub(crate) mod completion {
    constants! {
        /// The kernel no longer uses the memory of a guarded send: a = the key of the send.
        GUARD_RELEASED = 40;
        /// A file is open: a = request, b = block size, c = alignment of memory, d and e = its length in bytes, low word
        /// first.
        FILE_OPENED = 41;
        /// A file could not be opened: slot and generation are 0, a = request, b = errno, c = why it was refused, or 0.
        FILE_OPEN_FAILED = 42;
        /// An operation on a file has ended: a = its number, b = bytes done, c = errno, d = why it was refused, or 0.
        FILE_DONE = 43;
        /// A file was closed, and its slot may be used again.
        FILE_CLOSED = 44;
        /// A device is open: a = request, b = block size, d and e = number of its blocks, low word first.
        DEVICE_OPENED = 45;
        /// A device could not be opened; as FILE_OPEN_FAILED.
        DEVICE_OPEN_FAILED = 46;
        /// A command has ended: as FILE_DONE, and e = the status that the device answered, or 0.
        COMMAND_DONE = 47;
        /// A device was closed, and its slot may be used again.
        DEVICE_CLOSED = 48;
    }
}

/// Kinds of submission records.
pub(crate) mod submission {
    constants! {
        /// Send from memory that JavaScript asked for: a = its identifier, b = offset, c = length (at least 1), d = flags,
        /// e = a key for GUARD_RELEASED, which follows in any case.
        SEND_GUARD = 40;
        /// Read into memory: slot = slot of the file | number of the operation << 16, generation = that of the file,
        /// a = identifier of the memory, b = offset in it, c = length, d and e = position in the file, low word first.
        FILE_READ = 41;
        /// Write from memory; as FILE_READ.
        FILE_WRITE = 42;
        /// Make durable what was written; slot and generation as for FILE_READ.
        FILE_FSYNC = 43;
        /// Close a file when what is in flight on it has ended.
        FILE_CLOSE = 44;
        /// Read blocks: as FILE_READ, but c = number of blocks, d and e = the first block.
        DEVICE_READ = 45;
        /// Write blocks; as DEVICE_READ.
        DEVICE_WRITE = 46;
        /// Make durable what was written.
        DEVICE_FLUSH = 47;
        /// Close a device when what is in flight on it has ended.
        DEVICE_CLOSE = 48;
    }
}

/// Why the worker did not even begin something.
pub(crate) mod refused {
    constants! {
        /// Files, or devices, are not enabled.
        REFUSED_NOT_ENABLED = 1;
        /// As many are open as may be.
        REFUSED_TOO_MANY_OPEN = 2;
        /// The path contains a zero byte.
        REFUSED_PATH = 3;
        /// It is closed.
        REFUSED_NOT_OPEN = 4;
        /// It was opened for reading alone.
        REFUSED_READ_ONLY = 5;
        /// As many operations are in flight as may be.
        REFUSED_TOO_MANY_OPERATIONS = 6;
        /// Position and length are beyond what there can be.
        REFUSED_OUT_OF_RANGE = 7;
        /// Address, length or position is not aligned.
        REFUSED_MISALIGNED = 8;
        /// There is no such memory, or the range does not lie in it.
        REFUSED_MEMORY = 9;
        /// The length of the memory is not that of the blocks, or there are no blocks.
        REFUSED_BLOCKS = 10;
    }
}
