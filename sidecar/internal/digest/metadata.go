package digest

import (
	"encoding/binary"
	"io/fs"
	"syscall"
	"time"
)

const metadataSize = 32

// metadata is what moves when a file is written or replaced.
func metadata(info fs.FileInfo) [metadataSize]byte {
	var b [metadataSize]byte
	binary.BigEndian.PutUint64(b[0:], uint64(max(0, info.Size())))
	binary.BigEndian.PutUint64(b[8:], uint64(info.ModTime().UnixNano()))
	binary.BigEndian.PutUint64(b[16:], uint64(changeTime(info).UnixNano()))
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		binary.BigEndian.PutUint64(b[24:], st.Ino)
	}
	return b
}

// changeTime is the status change time, which unlike the modification time also moves on "mv" and "cp -p" and cannot
// be set back.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}

// device is the file system that something is on.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev) //nolint:unconvert // narrower on some architectures
	}
	return 0
}
