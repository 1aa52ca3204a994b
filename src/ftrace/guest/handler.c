// The handlers behind a trampoline as guest code, from the rules: livepatch (L36–L42), the list (F34), direct calls,
// kprobes, function graph, counting.
#include "handler.h"

#define offsetof(type, field) __builtin_offsetof(type, field)
#define container_of(pointer, type, field) ((type *)((char *)(pointer) - offsetof(type, field)))
#define rare(condition) __builtin_expect(!!(condition), 0)
#define read_once(place) (*(volatile __typeof__(place) *)&(place))
#define barrier() __asm__ volatile("" ::: "memory")

// What was met that the kernel warns of, once each; counted, so that the host can tell (L36, L37, L41).
u64 klp_warnings[3];
enum { WARN_RECURSION, WARN_EMPTY, WARN_IDLE };

static __attribute__((noinline, cold)) void warn(int what)
{
	klp_warnings[what]++;
}

static inline struct task_struct *current_task(void)
{
	struct task_struct *task;

	__asm__("movq %%gs:%c1, %0" : "=r"(task) : "i"(PERCPU_CURRENT));
	return task;
}

static inline u32 preempt_count(void)
{
	u32 count;

	__asm__ volatile("movl %%gs:%c1, %0" : "=r"(count) : "i"(PERCPU_PREEMPT_COUNT));
	return count;
}

static inline void preempt_disable(void)
{
	__asm__ volatile("incl %%gs:%c0" ::"i"(PERCPU_PREEMPT_COUNT) : "memory");
}

static inline void preempt_enable(void)
{
	__asm__ volatile("decl %%gs:%c0" ::"i"(PERCPU_PREEMPT_COUNT) : "memory");
}

// Takes a guard's bit for the running context; where it is taken already, the one that an interrupt may find (F44).
// Returns the bit, or -1.
static inline int guard_enter(u32 guard)
{
	u64 held = read_once(current_task()->trace_recursion);
	u32 count = preempt_count();
	u32 level = !!(count & PREEMPT_NMI) + !!(count & (PREEMPT_NMI | PREEMPT_HARDIRQ)) +
		    !!(count & (PREEMPT_NMI | PREEMPT_HARDIRQ | PREEMPT_SOFTIRQ));
	u32 bit = guard + 3 - level;

	if (rare(held & (1ul << bit))) {
		bit = guard + GUARD_TRANSITION;
		if (held & (1ul << bit))
			return -1;
	}
	read_once(current_task()->trace_recursion) = held | (1ul << bit);
	barrier();
	preempt_disable();
	return bit;
}

static inline void guard_leave(int bit)
{
	preempt_enable();
	barrier();
	current_task()->trace_recursion &= ~(1ul << bit);
}

void klp_ftrace_handler(u64 ip, u64 parent, struct ftrace_ops *fops, struct pt_regs *regs)
{
	struct klp_ops *ops = container_of(fops, struct klp_ops, fops);
	struct list_head *top;
	struct klp_func *func;
	int bit = guard_enter(GUARD_FTRACE);

	(void)ip, (void)parent;
	if (rare(bit < 0)) {
		warn(WARN_RECURSION); // L36
		return;
	}
	top = read_once(ops->func_stack.next);
	if (rare(top == &ops->func_stack)) {
		warn(WARN_EMPTY); // L37
		goto out;
	}
	func = container_of(top, struct klp_func, stack_node);
	barrier(); // the stack is read before the transition (L43)
	if (rare(func->transition)) {
		int state;

		barrier(); // and the transition before the task's state
		state = current_task()->patch_state;
		if (rare(state == PATCH_IDLE))
			warn(WARN_IDLE); // L41
		if (state == PATCH_UNPATCHED) { // L40
			struct list_head *below = read_once(func->stack_node.next);

			if (below == &ops->func_stack)
				goto out;
			func = container_of(below, struct klp_func, stack_node);
		}
	}
	if (!func->nop) // L42
		regs->ip = (u64)func->new_func;
out:
	guard_leave(bit);
}

// Every registered ops, newest first; the host keeps it.
struct ftrace_ops *ftrace_ops_list;

static inline int holds(const struct ftrace_hash *hash, u64 ip)
{
	const struct hash_entry *entry;
	u64 bucket = hash->bits ? ip * 0x61c8864680b583ebul >> (64 - hash->bits) : 0;

	for (entry = hash->buckets[bucket]; entry; entry = entry->next)
		if (entry->ip == ip)
			return 1;
	return 0;
}

// F39
static inline int traces(const struct ftrace_ops *ops, u64 ip)
{
	return (!ops->filter->count || holds(ops->filter, ip)) && (!ops->notrace->count || !holds(ops->notrace, ip));
}

// What the common callers call (F34).
void arch_ftrace_ops_list_func(u64 ip, u64 parent, struct ftrace_ops *unused, struct pt_regs *regs)
{
	struct ftrace_ops *ops;
	int bit = guard_enter(GUARD_LIST);

	(void)unused;
	if (bit < 0)
		return;
	for (ops = read_once(ftrace_ops_list); ops; ops = read_once(ops->next)) {
		if (ops->flags & FL_STUB)
			continue;
		if ((ops->flags & FL_SAVE_REGS) && !regs->cs)
			continue;
		if (traces(ops, ip))
			ops->func(ip, parent, ops, regs);
	}
	guard_leave(bit);
}

// What the trampoline of an ops calls whose handler wants the guard taken for it (F29).
void ftrace_ops_assist_func(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	int bit = guard_enter(GUARD_LIST);

	if (bit < 0)
		return;
	ops->func(ip, parent, ops, regs);
	guard_leave(bit);
}

// A tracer that counts its calls.
void ftrace_count_func(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	(void)ip, (void)parent, (void)regs;
	ops->priv++;
}

// A tracer that counts its calls and hands them to its user's function.
void ftrace_call_func(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	ops->priv++;
	((ftrace_func *)ops->extra)(ip, parent, ops, regs);
}

// Sends the call to a direct trampoline where others share the site (F26, F45).
void call_direct_funcs(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	(void)ip, (void)parent;
	regs->orig_ax = ops->extra;
}

// The probes of one ops. A handler sees ip as after a breakpoint, and after a NOP5 the second time; those after it see
// it as before. A probe that is hit from inside another one's handler is missed (F42).
void kprobe_ftrace_handler(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	struct task_struct *task = current_task();
	struct kprobe *probe;
	int bit = guard_enter(GUARD_FTRACE);

	(void)parent;
	if (bit < 0)
		return;
	for (probe = (struct kprobe *)ops->extra; probe; probe = probe->next) {
		u64 before = regs->ip;

		if (probe->addr != ip)
			continue;
		if (task->running_kprobe) {
			probe->missed++;
			continue;
		}
		probe->hits++;
		task->running_kprobe = probe;
		regs->ip = ip + 1;
		if (!probe->pre_handler || !probe->pre_handler(probe, regs)) {
			regs->ip = ip + 5;
			if (probe->post_handler)
				probe->post_handler(probe, regs, 0);
			regs->ip = before;
		}
		task->running_kprobe = 0;
	}
	guard_leave(bit);
}

// The graph user; absent where there is none: a return that is still hooked then only returns.
struct fgraph *ftrace_graph;
// How many returns a task may have hooked, and what they return to; the host sets both, by the kernel's version.
u64 ftrace_graph_depth;
u64 ftrace_graph_hook;

// Notes where the call returns. Not 0 where the shadow stack is full, or the user does not want the call (F47).
static int graph_enter(struct task_struct *task, u64 *slot, u64 func, struct fgraph *user)
{
	struct graph_ent ent = { func, task->curr_ret_stack + 1 };
	struct ret_stack *entry;

	if (rare((u64)ent.depth >= ftrace_graph_depth)) {
		user->overrun++;
		return -1;
	}
	entry = &task->ret_stack[ent.depth];
	entry->ret = *slot;
	entry->func = func;
	entry->retp = slot;
	barrier();
	read_once(task->curr_ret_stack) = ent.depth;
	if (!user->entry || user->entry(&ent, user))
		return 0;
	task->curr_ret_stack--;
	return -1;
}

// Has the call return to the hook (F47).
void ftrace_graph_func(u64 ip, u64 parent, struct ftrace_ops *ops, struct pt_regs *regs)
{
	u64 *slot = (u64 *)regs->sp;
	int bit = guard_enter(GUARD_FTRACE);

	(void)parent;
	if (bit < 0)
		return;
	if (!graph_enter(current_task(), slot, ip, (struct fgraph *)ops->extra)) {
		*slot = ftrace_graph_hook;
		ops->priv++;
	}
	guard_leave(bit);
}

__attribute__((used)) u64 ftrace_return_to_handler(void)
{
	struct task_struct *task = current_task();
	struct fgraph *user = read_once(ftrace_graph);
	struct ret_stack *entry;
	u64 ret;

	if (rare(task->curr_ret_stack < 0))
		__builtin_trap();
	entry = &task->ret_stack[task->curr_ret_stack];
	ret = entry->ret;
	if (user) {
		struct graph_ent ent = { entry->func, task->curr_ret_stack };

		user->returns++;
		if (user->ret)
			user->ret(&ent, user);
	}
	barrier();
	task->curr_ret_stack--;
	return ret;
}

// A hooked function returns here: its results are kept, and the call to the next instruction makes room for the real
// return address, so that calls and returns stay in balance. 6.12 keeps rbp beside rax and rdx (F47).
#define RETURN_TO_HANDLER(name, size, more)                                                                            \
	__asm__(".text\n.balign 16\n.globl " name "\n.type " name ", @function\n" name ":\n"                             \
		"	sub $" size ", %rsp\n"                                                                                 \
		"	mov %rax, (%rsp)\n"                                                                                    \
		"	mov %rdx, 8(%rsp)\n" more                                                                              \
		"	call ftrace_return_to_handler\n"                                                                       \
		"	mov %rax, %rdi\n"                                                                                      \
		"	mov 8(%rsp), %rdx\n"                                                                                   \
		"	mov (%rsp), %rax\n"                                                                                    \
		"	add $" size ", %rsp\n"                                                                                 \
		"	call 1f\n"                                                                                             \
		"	int3\n"                                                                                                \
		"1:	mov %rdi, (%rsp)\n"                                                                                    \
		"	jmp __x86_return_thunk\n"                                                                              \
		".size " name ", . - " name "\n")
RETURN_TO_HANDLER("return_to_handler_6_1", "16", "	mov %rbp, %rdi\n");
RETURN_TO_HANDLER("return_to_handler_6_12", "24", "	mov %rbp, 16(%rsp)\n	mov %rsp, %rdi\n");

__asm__(".balign 16\n.globl ftrace_stub\n.type ftrace_stub, @function\n"
	"ftrace_stub:\n"
	"	jmp __x86_return_thunk\n"
	".size ftrace_stub, . - ftrace_stub\n");
