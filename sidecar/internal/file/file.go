// Package file reads files that a user named, and never blocks. It refuses everything but regular files: a read of a
// named pipe, a terminal or a device may never return.
package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxSize bounds what is read of one file, in bytes.
const MaxSize = 16 << 20

// Read returns the content of a regular file of at most MaxSize bytes. A link is followed. Any error names the file.
func Read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s has more than %d MiB", path, MaxSize>>20)
	}
	return text, nil
}

// Check returns an error when there is something at path that Read refuses for what it is. What is not there yet, or
// may not be read, is no error.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // it may come later, and reading it says what is wrong
	}
	return regular(path, info)
}

// errKind means that a file is of a kind that has no content of its own.
var errKind = errors.New("not a regular file")

func regular(path string, info fs.FileInfo) error {
	kind := "a device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return fmt.Errorf("%s is %s, %w", path, kind, errKind)
}
