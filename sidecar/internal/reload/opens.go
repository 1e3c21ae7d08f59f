package reload

import (
	"encoding/binary"
	"slices"
	"syscall"
)

// opens reports which files are opened. It needs no right to look into the application: a volume's files are the same
// inodes in every container that mounts it. The kubelet opens them too, once a minute, and so does the sidecar itself, so
// that an open file may say too much, but a file that stays closed was read by nobody.
type opens struct {
	fd     int
	names  map[int32][]string
	opened map[string]bool
	lost   bool
}

// watchOpens begins to see the files that are there. It is nil where that cannot be seen.
func watchOpens(files []string) *opens {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	o := &opens{fd: fd, names: map[int32][]string{}, opened: map[string]bool{}}
	for _, file := range files {
		number, err := syscall.InotifyAddWatch(fd, file, syscall.IN_OPEN)
		if err == nil {
			o.names[int32(number)] = append(o.names[int32(number)], file) //nolint:gosec // the kernel's own number
		}
	}
	return o
}

// seen reports whether a file was opened since.
func (o *opens) seen(file string) bool {
	o.read()
	return o.opened[file]
}

// sees reports whether opening that file would have been noticed.
func (o *opens) sees(file string) bool {
	o.read()
	for _, names := range o.names {
		if slices.Contains(names, file) {
			return !o.lost
		}
	}
	return false
}

func (o *opens) read() {
	const bufferSize, maskAt, lengthAt = 4096, 4, 12
	buffer := make([]byte, bufferSize)
	for {
		n, err := syscall.Read(o.fd, buffer)
		if err != nil || n < syscall.SizeofInotifyEvent {
			return
		}
		for rest := buffer[:n]; len(rest) >= syscall.SizeofInotifyEvent; {
			number := int32(binary.NativeEndian.Uint32(rest)) //nolint:gosec // a number that the kernel gave
			mask := binary.NativeEndian.Uint32(rest[maskAt:])
			length := int(binary.NativeEndian.Uint32(rest[lengthAt:]))
			o.lost = o.lost || mask&syscall.IN_Q_OVERFLOW != 0
			if mask&syscall.IN_OPEN != 0 {
				for _, name := range o.names[number] {
					o.opened[name] = true
				}
			}
			if mask&syscall.IN_IGNORED != 0 { // the file was replaced or removed, and what has its name now is not seen
				delete(o.names, number)
			}
			rest = rest[min(len(rest), syscall.SizeofInotifyEvent+length):]
		}
	}
}

func (o *opens) close() { _ = syscall.Close(o.fd) }
