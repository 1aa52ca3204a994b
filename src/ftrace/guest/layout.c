// Tells the host where each field lies: one line `->NAME value` per field in the assembly that gcc makes of it.
#include "handler.h"

#define VALUE(name, value) __asm__ volatile("\n->" #name " %c0" ::"i"(value))
#define FIELD(name, type, field) VALUE(name, __builtin_offsetof(struct type, field))
#define SIZE(name, type) VALUE(name, sizeof(struct type))

void layout(void)
{
	FIELD(opsFunc, ftrace_ops, func);
	FIELD(opsNext, ftrace_ops, next);
	FIELD(opsFlags, ftrace_ops, flags);
	FIELD(opsCount, ftrace_ops, priv);
	FIELD(opsExtra, ftrace_ops, extra);
	FIELD(opsNotrace, ftrace_ops, notrace);
	FIELD(opsFilter, ftrace_ops, filter);
	FIELD(opsTrampoline, ftrace_ops, trampoline);
	SIZE(ops, ftrace_ops);
	VALUE(saveRegs, FL_SAVE_REGS);
	FIELD(klpOpsStack, klp_ops, func_stack);
	FIELD(klpOpsFops, klp_ops, fops);
	SIZE(klpOps, klp_ops);
	FIELD(funcNewFunc, klp_func, new_func);
	FIELD(funcOldFunc, klp_func, old_func);
	FIELD(funcNode, klp_func, stack_node);
	FIELD(funcNop, klp_func, nop);
	FIELD(funcPatched, klp_func, patched);
	FIELD(funcTransition, klp_func, transition);
	SIZE(func, klp_func);
	FIELD(hashBits, ftrace_hash, bits);
	FIELD(hashCount, ftrace_hash, count);
	FIELD(hashBuckets, ftrace_hash, buckets);
	FIELD(entryIp, hash_entry, ip);
	SIZE(entry, hash_entry);
	FIELD(probeNext, kprobe, next);
	FIELD(probeAddr, kprobe, addr);
	FIELD(probeHits, kprobe, hits);
	FIELD(probeMissed, kprobe, missed);
	FIELD(probePre, kprobe, pre_handler);
	FIELD(probePost, kprobe, post_handler);
	SIZE(probe, kprobe);
	FIELD(graphEntry, fgraph, entry);
	FIELD(graphReturn, fgraph, ret);
	FIELD(graphReturns, fgraph, returns);
	FIELD(graphOverrun, fgraph, overrun);
	SIZE(graph, fgraph);
	FIELD(taskRecursion, task_struct, trace_recursion);
	FIELD(taskPatchState, task_struct, patch_state);
	FIELD(taskRetIndex, task_struct, curr_ret_stack);
	FIELD(taskRetStack, task_struct, ret_stack);
	SIZE(retEntry, ret_stack);
	FIELD(taskKprobe, task_struct, running_kprobe);
	VALUE(retStackMost, RET_STACK_MOST);
	SIZE(task, task_struct);
	VALUE(perCpuCurrent, PERCPU_CURRENT);
	VALUE(perCpuPreemptCount, PERCPU_PREEMPT_COUNT);
	VALUE(preemptSoftirq, PREEMPT_SOFTIRQ);
	VALUE(preemptHardirq, PREEMPT_HARDIRQ & -PREEMPT_HARDIRQ);
	VALUE(preemptNmi, PREEMPT_NMI & -PREEMPT_NMI);
	VALUE(guardFtrace, GUARD_FTRACE);
	VALUE(guardList, GUARD_LIST);
	VALUE(guardTransition, GUARD_TRANSITION);
}
