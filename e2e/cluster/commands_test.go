package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"inpod.dev/inpod/e2e/cluster/internal/cluster"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err  error
		want int
	}{
		"success":             {nil, 0},
		"failure":             {errors.New("broken"), 1},
		"usage":               {usageError{"no such thing"}, 2},
		"nothing runs":        {cluster.ErrNotRunning, 3},
		"not everything runs": {fmt.Errorf("status: %w", cluster.ErrUnhealthy), 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(tc.err); got != tc.want {
				t.Errorf("exit code is %d, want %d", got, tc.want)
			}
		})
	}
}

func TestMistakesNameWhatIsAllowed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		want string
	}{
		"unknown command":      {[]string{"upp"}, "there are: up, down, status, shell, restart, stop, load, images, logs, kubeconfig, env, build"},
		"argument without use": {[]string{"kubeconfig", "x"}, `kubeconfig takes no arguments, but there is "x"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), tc.args)
			if exitCode(err) != 2 || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want a usage error with %q", err, tc.want)
			}
		})
	}
}

func TestComponentsAreNamedBeforeAnythingIsStopped(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		want string // empty if they are right
	}{
		"one":         {[]string{"kube-apiserver"}, ""},
		"several":     {[]string{"etcd", "kube-apiserver"}, ""},
		"none":        {nil, "name at least one component: etcd, containerd,"},
		"unknown one": {[]string{"kubelet", "apiserver"}, `no component "apiserver"; there are: etcd, containerd,`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := components(tc.args)
			if tc.want == "" && err != nil {
				t.Errorf("error is %v", err)
			}
			if tc.want != "" && (exitCode(err) != 2 || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error is %v, want a usage error with %q", err, tc.want)
			}
		})
	}
}

func TestUsageNamesEveryCommand(t *testing.T) {
	t.Parallel()
	text := usage()
	for _, name := range names() {
		if !strings.Contains(text, "\n  "+name) {
			t.Errorf("usage does not name %s:\n%s", name, text)
		}
	}
	if strings.Contains(text, cluster.ForwardCommand) {
		t.Error("usage names the hidden command")
	}
}
