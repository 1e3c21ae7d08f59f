package watch

import (
	"golang.org/x/sys/unix"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// OwnClock reports whether the times of all files of a state are of this machine's clock. A server of NFS, SMB or Ceph and
// a program behind FUSE have clocks of their own, and a file system that is not known may have one.
func OwnClock(s digest.State) bool {
	for _, v := range s.Volumes {
		var fs unix.Statfs_t
		if err := unix.Statfs(v.Path, &fs); err == nil && !ownClock(uint32(fs.Type)) { //nolint:gosec // a magic number of 32 bits
			return false
		}
	}
	return true
}

func ownClock(magic uint32) bool {
	const zfs, bcachefs, jfs = 0x2fc12fc1, 0xca451a4e, 0x3153464a
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.REISERFS_SUPER_MAGIC, unix.SQUASHFS_MAGIC,
		unix.EROFS_SUPER_MAGIC_V1, zfs, bcachefs, jfs:
		return true
	}
	return false
}
