package watch

import (
	"testing"

	"inpod.dev/inpod/sidecar/internal/digest"
)

func TestFileSystemsWithAClockOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		magic uint32
		want  bool
	}{
		"ext4 takes the kernel's":            {0xef53, true},
		"tmpfs takes the kernel's":           {0x01021994, true},
		"XFS takes the kernel's":             {0x58465342, true},
		"overlayfs takes the kernel's":       {0x794c7630, true},
		"NFS takes the server's":             {0x6969, false},
		"CIFS takes the server's":            {0xff534d42, false},
		"SMB2 takes the server's":            {0xfe534d42, false},
		"FUSE takes any":                     {0x65735546, false},
		"Ceph takes the server's":            {0x00c36400, false},
		"what is not known may have one":     {0x12345678, false},
		"9p takes that of whoever serves it": {0x01021997, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ownClock(tc.magic); got != tc.want {
				t.Errorf("own clock: %v, want %v", got, tc.want)
			}
		})
	}
	if !OwnClock(digest.Combine([]digest.Volume{{Path: t.TempDir()}, {Path: "/no/such/path"}})) {
		t.Skip("the tests' own directory is on a file system with another clock")
	}
}
