// Package build compiles the programs of the cluster, once, into a cache that all checkouts share.
package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/progress"
)

// Program is a main package, in a module of its own if it needs other modules.
type Program struct {
	// Name is the file name of the program.
	Name string
	// Dir is the folder with its sources.
	Dir string
	// VersionOf is the module whose version the program carries; empty for programs of this repository.
	VersionOf string
	// LinkVersion names variables that are set to the version when linking.
	LinkVersion []string
	// Links are further names of the program, for programs that read the name they are called by.
	Links []string
}

// Builder builds programs into a cache.
type Builder struct {
	Cache string
	Print *progress.Printer
}

// Path returns the file of a program, and builds it if it is not in the cache.
func (b Builder) Path(ctx context.Context, program Program) (string, error) {
	version, err := program.version()
	if err != nil {
		return "", err
	}
	flags := program.flags(version)
	key, err := Key(program.Dir, append(flags, runtime.GOARCH)...)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.Cache, "programs", strings.Join([]string{program.Name, version, key}, "-"))
	file := filepath.Join(dir, program.Name)
	if exists(file) {
		return file, nil
	}
	unlock, err := Lock(ctx, filepath.Join(b.Cache, "locks", program.Name), func() {
		b.Print.Step("%s: waiting for another build of it to end", program.Name)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(file) {
		return file, nil
	}
	return file, b.build(ctx, program, flags, dir)
}

// build makes the folder under another name and renames it when it is complete, so that a cache entry is either whole
// or not there.
func (b Builder) build(ctx context.Context, program Program, flags []string, dir string) error {
	temporary, err := WorkDir(filepath.Dir(dir), program.Name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := b.compile(ctx, program, flags, filepath.Join(temporary, program.Name)); err != nil {
		return err
	}
	for _, link := range program.Links {
		if err := os.Symlink(program.Name, filepath.Join(temporary, link)); err != nil {
			return err
		}
	}
	return os.Rename(temporary, dir)
}

func (b Builder) compile(ctx context.Context, program Program, flags []string, output string) error {
	started := time.Now()
	b.Print.Step("%s: looking for its modules (the first time they are downloaded)", program.Name)
	packages, err := b.countPackages(ctx, program.Dir)
	if err != nil {
		return err
	}
	b.Print.Step("%s: compiling %d packages%s", program.Name, packages, patience(packages))

	// -v prints the name of each package that is compiled, and nothing for those of the build cache.
	command := goCommand(ctx, program.Dir, append(append([]string{"build", "-v"}, flags...), "-o", output, ".")...)
	progress, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	var compiled atomic.Int64
	ended := make(chan struct{})
	go b.follow(program.Name, packages, started, &compiled, ended)
	problems := collect(progress, &compiled)
	err = command.Wait()
	close(ended)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", program.Name, err, strings.Join(problems, "\n"))
	}
	b.Print.Step("%s: built in %s", program.Name, time.Since(started).Round(time.Second))
	return nil
}

func patience(packages int) string {
	if packages < 1500 {
		return ""
	}
	return " (once; about 12 minutes of one processor's time)"
}

func (b Builder) countPackages(ctx context.Context, dir string) (int, error) {
	command := goCommand(ctx, dir, "list", "-deps", ".")
	var problems strings.Builder
	command.Stderr = &problems
	list, err := command.Output()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("find the packages of %s: %w\n%s", dir, err, problems.String()), context.Cause(ctx))
	}
	return strings.Count(string(list), "\n"), nil
}

// follow prints how far the compiler is until it ends.
func (b Builder) follow(name string, packages int, started time.Time, compiled *atomic.Int64, ended <-chan struct{}) {
	ticker := time.NewTicker(b.Print.Every())
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
			b.Print.Progress("%s: %d packages compiled (at most %d, fewer if some were compiled before), %s", name, compiled.Load(), packages, time.Since(started).Round(time.Second))
		}
	}
}

// collect counts the package names in the compiler's output and returns the last lines of everything else.
func collect(output io.Reader, compiled *atomic.Int64) []string {
	var problems []string
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		line := lines.Text()
		if isPackage(line) {
			compiled.Add(1)
			continue
		}
		problems = append(problems, line)
		problems = problems[max(0, len(problems)-40):]
	}
	return problems
}

// isPackage distinguishes `golang.org/x/net/http2` from `# golang.org/x/net/http2`, `./main.go:3:1: …` and `go:
// downloading …`.
func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " :#")
}

// goCommand runs go for a folder by itself: settings of the caller that would change what is built do not reach it.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	return command
}

func (p Program) version() (string, error) {
	if p.VersionOf == "" {
		return "dev", nil
	}
	return RequiredVersion(filepath.Join(p.Dir, "go.mod"), p.VersionOf)
}

// flags: -trimpath makes the program the same in every checkout, -s -w leave out the third that only debuggers read.
func (p Program) flags(version string) []string {
	linker := []string{"-s", "-w"}
	for _, variable := range p.LinkVersion {
		linker = append(linker, "-X", variable+".gitVersion="+version)
		if number := strings.Split(strings.TrimPrefix(version, "v"), "."); len(number) > 1 {
			linker = append(linker, "-X", variable+".gitMajor="+number[0], "-X", variable+".gitMinor="+number[1])
		}
	}
	return []string{"-trimpath", "-ldflags", strings.Join(linker, " ")}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
