/* Preloaded into ringfort, makes the syncs of the index do nothing, and leaves all others alone: RocksDB calls the C
 * library for them.
 *
 * Built and used by the power-cut tests to show that they notice a careless index. */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Whether the descriptor is the index folder of a device, or in it. */
static int of_index(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/store/index") != NULL;
}

int fdatasync(int file) {
    return of_index(file) ? 0 : (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    return of_index(file) ? 0 : (int)syscall(SYS_fsync, file);
}

int sync_file_range(int file, off_t from, off_t bytes, unsigned flags) {
    return of_index(file) ? 0 : (int)syscall(SYS_sync_file_range, file, from, bytes, flags);
}
