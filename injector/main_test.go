package main

import (
	"bytes"
	"strings"
	"testing"

	"inpod.dev/inpod/injector/internal/config"
	"inpod.dev/inpod/internal/patience"
)

func TestWhatNeedsNoCluster(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args, environ []string
		wantCode      int
		wantOut       string
		wantErr       string
	}{
		"help":           {args: []string{"--help"}, wantOut: "injector [flags]"},
		"version":        {args: []string{"--version"}, wantOut: "inpod injector "},
		"wrong usage":    {args: []string{"--sidecar-imgae=x"}, wantCode: 2, wantErr: "did you mean --sidecar-image?"},
		"nothing is set": {wantCode: 2, wantErr: "--sidecar-image: is required"},
		"no cluster to be found": {
			args: []string{"--sidecar-image=x", "--listen-address=127.0.0.1:0", "--kubeconfig=/no/such/file"}, environ: []string{"POD_NAME=p", "POD_NAMESPACE=n"},
			wantCode: 1, wantErr: "no such file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "no cluster to be found" { // it registers the metrics of the process
				t.Parallel()
			}
			var out, failure bytes.Buffer
			ctx, cancel := patience.Context(t.Context(), patience.Usual)
			defer cancel()
			code := run(ctx, tc.args, tc.environ, &out, &failure)
			if code != tc.wantCode || !strings.Contains(out.String(), tc.wantOut) || !strings.Contains(failure.String(), tc.wantErr) {
				t.Errorf("exit code %d, printed %q and %q", code, out.String(), failure.String())
			}
		})
	}
}

func TestNativeSidecarsByVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		server string
		wish   config.NativeSidecars
		want   bool
	}{
		{"v1.37.2", config.NativeAuto, true},
		{"v1.29.0", config.NativeAuto, true},
		{"v1.29.0-rc.1", config.NativeAuto, true},
		{"v1.29.3+k3s1", config.NativeAuto, true},
		{"v1.30.1-eks-36833ba", config.NativeAuto, true},
		{"v1.28.15", config.NativeAuto, false},
		{"", config.NativeAuto, false},
		{"unknown", config.NativeAuto, false},
		{"v1.28.15", config.NativeAlways, true},
		{"v1.37.2", config.NativeNever, false},
	} {
		if got := hasNative(tc.server, tc.wish); got != tc.want {
			t.Errorf("server %q, wish %s: %v", tc.server, tc.wish, got)
		}
	}
}

func TestNamespacesThatAreNeverTouched(t *testing.T) {
	t.Parallel()
	in := &injector{config: config.Config{Pod: config.Pod{Namespace: "inpod"}, Webhook: config.Webhook{Exclude: []string{"build"}}}}
	for namespace, want := range map[string]bool{"kube-system": true, "inpod": true, "build": true, "shop": false, "default": false} {
		if got := in.excluded(namespace); got != want {
			t.Errorf("%s: %v", namespace, got)
		}
	}
}
