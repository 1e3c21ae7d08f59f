package inject_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/inject"
	"inpod.dev/inpod/internal/sidecarapi"
)

// Injector and sidecar are two programs: what one writes the other has to understand. The sidecar answers wrong usage
// with exit code 2, and a directory that is not there with 1.
func TestTheSidecarUnderstandsItsArguments(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the sidecar")
	}
	program := filepath.Join(t.TempDir(), "sidecar")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "inpod.dev/inpod/sidecar").CombinedOutput(); err != nil {
		t.Fatalf("build the sidecar: %v\n%s", err, out)
	}
	o := options()
	var err error
	if o.ConfirmKey, err = sidecarapi.PublicKey(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	pods := examples(t)
	every, _ := nginx(annotated(
		"inpod.dev/preset", "prometheus", "inpod.dev/reload-cmdline", "^prom", "inpod.dev/signal-handled", "true",
		"inpod.dev/reload-url", "https://127.0.0.1/-/reload", "inpod.dev/reload-method", "PUT", "inpod.dev/reload-status", "200,204",
		"inpod.dev/reload-body-from", "/etc/nginx/conf.d/body", "inpod.dev/reload-ca-file", "/etc/nginx/conf.d/ca",
		"inpod.dev/reload-skip-verify", "true", "inpod.dev/reload-timeout", "1s", "inpod.dev/reload-attempts", "2",
		"inpod.dev/validate-command", `["promtool","check"]`, "inpod.dev/command-timeout", "5s", "inpod.dev/verify-url", "http://127.0.0.1/",
		"inpod.dev/verify-timeout", "1s", "inpod.dev/require-proof", "true", "inpod.dev/probe-url", "http://127.0.0.1/metrics", "inpod.dev/settle", "1s",
	))
	pods["every key"] = every
	pods["what is watched by name"], _ = nginx(mounting(certificate(), bundle("roots"), token("vault")), annotated("inpod.dev/watch", "/etc/nginx/conf.d,/etc/nginx/conf.d/a:b"))
	pods["a file that is watched by name"], _ = nginx(csi("csi.spiffe.io"), annotated("inpod.dev/watch", "/etc/nginx/conf.d/a:b,/etc/nginx/conf.d/c"))
	for name, pod := range pods {
		injected, report := injectInto(pod, o)
		if report.Reason != inject.Injected {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"--once"}
			for _, arg := range sidecarOf(injected).Args {
				// Nothing on this machine is to be watched or reloaded.
				arg = strings.NewReplacer("--watch=/", "--watch=/nowhere/", "--trust-bundle=/", "--trust-bundle=/nowhere/", "--ignore=/", "--ignore=/nowhere/").Replace(arg)
				args = append(args, strings.ReplaceAll(arg, "$$", "$"))
			}
			out, err := run(t.Context(), program, args...)
			if err == nil || err.ExitCode() != 1 {
				t.Errorf("sidecar %q: %v\n%s", args, err, out)
			}
		})
	}
}

func run(ctx context.Context, program string, args ...string) (string, *exec.ExitError) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	failure, _ := err.(*exec.ExitError) //nolint:errorlint // as exec returns it
	return string(out), failure
}
