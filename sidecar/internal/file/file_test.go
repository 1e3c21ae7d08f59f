package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"inpod.dev/inpod/sidecar/internal/file"
)

func TestRead(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		make      func(path string) error
		want      string
		wantErr   string
		wantCheck string
	}{
		"a regular file": {make: func(path string) error { return os.WriteFile(path, []byte("text"), 0o600) }, want: "text"},
		"a link to one": {make: func(path string) error {
			if err := os.WriteFile(path+".real", []byte("text"), 0o600); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}, want: "text"},
		"a named pipe that nobody writes to": {
			make: func(path string) error { return syscall.Mkfifo(path, 0o600) }, wantErr: "is a named pipe, not a regular file", wantCheck: "is a named pipe",
		},
		"a link to a device": {make: func(path string) error { return os.Symlink("/dev/zero", path) }, wantErr: "is a device", wantCheck: "is a device"},
		"a directory":        {make: func(path string) error { return os.Mkdir(path, 0o700) }, wantErr: "is a directory", wantCheck: "is a directory"},
		"nothing":            {make: func(string) error { return nil }, wantErr: "no such file"},
		"a file that is too large": {make: func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, file.MaxSize+1)
		}, wantErr: "has more than 16 MiB"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			text, err := file.Read(path)
			if string(text) != tc.want || !says(err, tc.wantErr) || err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("read = %q, %v; want %q, %q with the path", text, err, tc.want, tc.wantErr)
			}
			if err := file.Check(path); !says(err, tc.wantCheck) {
				t.Errorf("check = %v, want %q", err, tc.wantCheck)
			}
		})
	}
}

func says(err error, want string) bool {
	return (err == nil) == (want == "") && (err == nil || strings.Contains(err.Error(), want))
}
