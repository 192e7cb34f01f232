/* Starts a program in whose eyes every sync succeeds at once, and none is done: what a program without syncs would be.
 *
 * A filter of the kernel, because the program may call it without the C library. Built and used by the power-cut tests to
 * show that they notice.
 *
 * usage: nosync PROGRAM ARGUMENT... */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYNCS_NOT(number, after) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), (after), 0)

int main(int count, char **words) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        SYNCS_NOT(SYS_fsync, 5),
        SYNCS_NOT(SYS_fdatasync, 4),
        SYNCS_NOT(SYS_sync_file_range, 3),
        SYNCS_NOT(SYS_syncfs, 2),
        SYNCS_NOT(SYS_msync, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        /* Error 0: success. */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    if (count < 2) {
        fprintf(stderr, "usage: nosync PROGRAM ARGUMENT...\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("nosync: prctl");
        return 1;
    }
    execv(words[1], words + 1);
    perror(words[1]);
    return 1;
}
