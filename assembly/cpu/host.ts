// What the CPU asks of the host; every one of them is off the hot path.

/** A block is about to run; 0 goes on, 1 stops where the host wrote STOP_AT. */
export declare function blockEntered(low: u32, high: u32, size: u32): i32;
/** A data access: kind 0 read, 1 write. Called while hooks are on only. */
export declare function memoryAccessed(kind: u32, address: u64, size: u32): void;
/**
 * A call arrived, while the host is to be told at once; non-zero stops there. Otherwise the ring of arrivals is full: the
 * host takes them, and its answer does not count.
 */
export declare function arrived(low: u32, high: u32, dispatched: bool): i32;
/** The gate was entered at a site that has a host handler; it leaves the new ip in ANSWER. */
export declare function gateEntered(low: u32, high: u32): void;
