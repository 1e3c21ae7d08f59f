package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Listening are the TCP sockets at which a process listens, by their inodes. known is false where its open files may not be read,
// as those of another user.
func (t Table) Listening(pid int) (sockets map[string]bool, known bool) {
	dir := filepath.Join(t.Root, strconv.Itoa(pid))
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, false
	}
	var tables [][]byte
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		if text, err := t.read(pid, name); err == nil {
			tables = append(tables, text)
		}
	}
	if len(tables) == 0 {
		return nil, false
	}
	all := listening(tables...)
	sockets = map[string]bool{}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, "fd", entry.Name()))
		switch inode, isSocket := strings.CutPrefix(target, "socket:["); {
		case os.IsNotExist(err): // closed meanwhile
		case err != nil:
			return nil, false
		case isSocket && all[strings.TrimSuffix(inode, "]")]:
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return sockets, true
}

// listening are the inodes of the sockets that listen, in tables as /proc/net/tcp has them.
func listening(tables ...[]byte) map[string]bool {
	const state, inode, listen = 3, 9, "0A"
	found := map[string]bool{}
	for _, table := range tables {
		for line := range bytes.Lines(table) {
			if fields := strings.Fields(string(line)); len(fields) > inode && fields[state] == listen {
				found[fields[inode]] = true
			}
		}
	}
	return found
}
