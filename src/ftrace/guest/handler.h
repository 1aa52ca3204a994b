// What the guest's ftrace and livepatch code works on: the structs of kernel 6.1 where it has them, with its offsets.
#pragma once

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

struct list_head {
	struct list_head *next, *prev;
};

struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	u64 orig_ax, ip, cs, flags, sp, ss;
};

// The addresses of a filter, in chains (F39). buckets is followed by 2^bits pointers.
struct hash_entry {
	struct hash_entry *next;
	u64 ip;
};
struct ftrace_hash {
	u64 bits;
	u64 count;
	struct hash_entry *buckets[];
};

struct ftrace_ops;
typedef void ftrace_func(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs);

// One user of sites. priv counts calls where the handler is one of those here.
struct ftrace_ops {
	ftrace_func *func;
	struct ftrace_ops *next;
	u64 flags;
	u64 priv;
	u64 extra; // direct: where calls go; graph: struct fgraph; kprobe: the probes; ftrace_call_func: what it calls
	struct ftrace_hash *notrace, *filter;
	u64 unused[11];
	u64 trampoline, trampoline_size;
	struct list_head list;
	void *ops_func;
};

#define FL_SAVE_REGS 1
#define FL_STUB 2

struct klp_ops {
	struct list_head node, func_stack;
	struct ftrace_ops fops;
};

struct klp_func {
	const char *old_name;
	void *new_func;
	u64 old_sympos;
	void *old_func;
	u64 kobj[10];
	struct list_head stack_node;
	u64 old_size, new_size;
	u8 nop, patched, transition;
};

struct kprobe {
	struct kprobe *next;
	u64 addr;
	u64 hits, missed;
	int (*pre_handler)(struct kprobe *, struct pt_regs *);
	void (*post_handler)(struct kprobe *, struct pt_regs *, u64 flags);
};

// What a graph user is told at a function's entry and at its return; either function may be absent (F47).
struct graph_ent {
	u64 func;
	int depth;
};
struct fgraph {
	int (*entry)(struct graph_ent *, struct fgraph *);
	void (*ret)(struct graph_ent *, struct fgraph *);
	u64 returns, overrun;
};

// A call whose return is hooked: where it returns, whose call it is, and where the hooked address stands (F47).
struct ret_stack {
	u64 ret, func;
	u64 *retp;
};
#define RET_STACK_MOST 122

struct task_struct {
	u64 trace_recursion;
	int patch_state;
	int curr_ret_stack;
	struct kprobe *running_kprobe;
	struct ret_stack ret_stack[RET_STACK_MOST];
};

#define PATCH_IDLE -1
#define PATCH_UNPATCHED 0

// Offsets below gs.
#define PERCPU_CURRENT 0x40
#define PERCPU_PREEMPT_COUNT 0x48

// Bits of the preempt count that name the context.
#define PREEMPT_SOFTIRQ 0x100
#define PREEMPT_HARDIRQ 0xf0000
#define PREEMPT_NMI 0xf00000

// The contexts' bits in trace_recursion; each guard has four, and one for a change of context (F44).
#define GUARD_FTRACE 0
#define GUARD_LIST 5
#define GUARD_TRANSITION 4
