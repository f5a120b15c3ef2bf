/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_stub: the program that a guest process executes first, as a complete ELF file. It maps the
 * guest's memory (descriptor 3), makes a userfaultfd, unmaps all else but itself, and shuts the
 * kernel's door with a filter that kills on any system call; then it stops at a breakpoint and never
 * runs on: the vmm gives the process the guest's registers.
 *
 * At the breakpoint: r12 = step that failed, 0 = none; r13 = its error; r14 = userfaultfd or -errno;
 * r15 = what unmapping gave.
 */
#include "vmm_layout.h"

#define SYS_MMAP	 9
#define SYS_MUNMAP	 11
#define SYS_CLOSE	 3
#define SYS_PRCTL	 157
#define SYS_SECCOMP	 317
#define SYS_USERFAULTFD	 323
#define AT(label)	 (VMM_STUB_BASE + (label - vmm_stub_start))

	.section .rodata
	.balign 4096
	.globl vmm_stub_start, vmm_stub_end, vmm_stub_memory_bytes
vmm_stub_start:
	.byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0
	.quad 0
	.short 2, 62			/* ET_EXEC, EM_X86_64 */
	.long 1
	.quad AT(entry)
	.quad headers - vmm_stub_start
	.quad 0
	.long 0
	.short 64, 56, 2, 0, 0, 0
headers:
	.long 1, 5			/* PT_LOAD, R+X */
	.quad 0, VMM_STUB_BASE, VMM_STUB_BASE
	.quad vmm_stub_end - vmm_stub_start, vmm_stub_end - vmm_stub_start, 4096
	.long 0x6474e551, 6		/* PT_GNU_STACK, R+W */
	.quad 0, 0, 0, 0, 0, 16
vmm_stub_memory_bytes:
	.quad 0				/* patched by the vmm */
filter:
	.short 0x06, 0			/* BPF_RET | BPF_K */
	.long 0x80000000		/* SECCOMP_RET_KILL_PROCESS */
name:
	.asciz "lifeboat-guest"
	.balign 8
program:
	.short 1, 0, 0, 0
	.quad AT(filter)

entry:
	mov	$1, %r12d
	mov	$SYS_MMAP, %eax
	movabs	$VMM_GUEST_BASE, %rdi
	mov	vmm_stub_memory_bytes(%rip), %rsi
	mov	$7, %edx		/* R+W+X */
	mov	$0x11, %r10d		/* MAP_SHARED | MAP_FIXED */
	mov	$3, %r8d
	xor	%r9d, %r9d
	syscall
	mov	%rax, %r13
	movabs	$VMM_GUEST_BASE, %rbx
	cmp	%rbx, %rax
	jne	stop
	mov	$SYS_CLOSE, %eax
	mov	$3, %edi
	syscall

	mov	$SYS_USERFAULTFD, %eax
	mov	$0x80801, %edi		/* O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY */
	syscall
	mov	%rax, %r14

	/* A sealed vdso cannot be unmapped; that is only reported: without system calls it is harmless. */
	mov	$SYS_MUNMAP, %eax
	xor	%edi, %edi
	movabs	$VMM_GUEST_BASE, %rsi
	syscall
	mov	%rax, %r15
	mov	$SYS_MUNMAP, %eax
	mov	%rbx, %rdi
	add	vmm_stub_memory_bytes(%rip), %rdi
	movabs	$VMM_STUB_BASE, %rsi
	sub	%rdi, %rsi
	syscall
	or	%rax, %r15
	mov	$SYS_MUNMAP, %eax
	movabs	$VMM_STUB_BASE + 4096, %rdi
	movabs	$VMM_TASK_END - VMM_STUB_BASE - 4096, %rsi
	syscall
	or	%rax, %r15

	mov	$SYS_PRCTL, %eax
	mov	$15, %edi		/* PR_SET_NAME, for ps: the arguments went with the stack */
	lea	name(%rip), %rsi
	syscall
	mov	$2, %r12d
	mov	$SYS_PRCTL, %eax
	mov	$26, %edi		/* PR_SET_TSC */
	mov	$2, %esi		/* PR_TSC_SIGSEGV */
	syscall
	mov	%rax, %r13
	test	%rax, %rax
	jnz	stop
	mov	$3, %r12d
	mov	$SYS_PRCTL, %eax
	mov	$38, %edi		/* PR_SET_NO_NEW_PRIVS */
	mov	$1, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	syscall
	mov	%rax, %r13
	test	%rax, %rax
	jnz	stop
	mov	$4, %r12d
	mov	$SYS_SECCOMP, %eax
	mov	$1, %edi		/* SECCOMP_SET_MODE_FILTER */
	xor	%esi, %esi
	lea	program(%rip), %rdx
	syscall
	mov	%rax, %r13
	test	%rax, %rax
	jnz	stop
	xor	%r12d, %r12d
stop:
	int3
	ud2
vmm_stub_end:

	.section .note.GNU-stack, "", @progbits
