package process_test

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/sidecar/internal/process"
)

func TestListening(t *testing.T) {
	t.Parallel()
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for name, tc := range map[string]struct {
		files       map[string]string // below the folder of the process; a file in fd is a link
		want        map[string]bool
		wantUnknown bool
	}{
		"it listens, and has a connection": {
			files: map[string]string{
				"fd/0": "/dev/null", "fd/3": "socket:[11]", "fd/4": "socket:[12]", "fd/5": "socket:[13]", "fd/6": "pipe:[14]",
				"net/tcp": header + "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 11 1 0 100 0 0 10 0\n" +
					"   1: 0100007F:1F90 0100007F:8000 01 00000000:00000000 00:00000000 00000000   101        0 12 1 0 20 4 30 10 -1\n" +
					"   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 99 1 0 100 0 0 10 0\n",
				"net/tcp6": header + "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 13 1 0 100 0 0 10 0\n",
			},
			want: map[string]bool{"11": true, "13": true},
		},
		"it does not listen":                      {files: map[string]string{"fd/3": "socket:[12]", "net/tcp": header}, want: map[string]bool{}},
		"its open files may not be read":          {files: map[string]string{"net/tcp": header}, wantUnknown: true},
		"nothing is known of sockets":             {files: map[string]string{"fd/3": "socket:[12]"}, wantUnknown: true},
		"lines that are none of the known format": {files: map[string]string{"fd/3": "socket:[12]", "net/tcp": "x\n\n0A 0A 0A 0A\n"}, want: map[string]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, content := range tc.files {
				at := filepath.Join(root, "7", file)
				if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
					t.Fatal(err)
				}
				var err error
				if filepath.Dir(file) == "fd" {
					err = os.Symlink(content, at)
				} else {
					err = os.WriteFile(at, []byte(content), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			got, known := process.Table{Root: root}.Listening(7)
			if diff := cmp.Diff(tc.want, got); diff != "" || known == tc.wantUnknown {
				t.Errorf("known %t (-want +got):\n%s", known, diff)
			}
		})
	}
}

func TestListeningOfARealProcess(t *testing.T) {
	t.Parallel()
	own := process.Table{Root: "/proc"}
	before, known := own.Listening(os.Getpid())
	if !known {
		t.Fatal("its own files are not known")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	during, _ := own.Listening(os.Getpid())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	after, _ := own.Listening(os.Getpid())
	if len(during) != len(before)+1 || !maps.Equal(before, after) {
		t.Errorf("before %v, during %v, after %v", before, during, after)
	}
}
