//go:build e2e

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
)

// scenario is one row of the table.
type scenario struct {
	name, about string
	run         func(context.Context, *bench) (row, error)
}

func scenarios() []scenario {
	return []scenario{
		{"many-to-many", "500 ConfigMaps are edited at once, 500 Deployments use one each", manyToMany},
		{"one-to-many", "one ConfigMap is edited, 200 Deployments use it", oneToMany},
		{"small-change", "50 Deployments in one namespace, and one ConfigMap is edited that one of them uses", smallChange},
		{"large-secrets", "2,000 Secrets of 50 KB, one of them used and edited", largeSecrets},
		{"baselines", "10,000 Deployments in 50 namespaces get a baseline at 100 per second, and one change happens meanwhile", newBaselines},
		{"large-restart", "start-up with 10,000 Deployments and 10,000 ConfigMaps that have their baselines", largeRestart},
		{"large-change", "10,000 Deployments in 50 namespaces, and one ConfigMap is edited that one of them uses", largeChange},
		{"large-reload", "500 workloads of 20 pods share a ConfigMap and reload in place, and that of one other workload is edited meanwhile", largeReload},
	}
}

const limit = 3 * time.Minute

// roll edits, and measures until so many rollouts more were accepted.
func (p *process) roll(ctx context.Context, rollouts int, edit func() error) (row, error) {
	before, err := p.usage(ctx)
	if err != nil {
		return row{}, err
	}
	m, err := p.metrics(ctx)
	if err != nil {
		return row{}, err
	}
	want := m.Sum("inpod_rollouts_total") + float64(rollouts)
	if err := edit(); err != nil {
		return row{}, err
	}
	edited := time.Now()
	if err := p.awaitSum(ctx, "inpod_rollouts_total", want); err != nil {
		return row{}, err
	}
	r := row{latency: time.Since(edited)}
	// Events follow in the background.
	posts := before.requests["POST"] + float64(rollouts)
	err = p.await(ctx, limit, func() (bool, error) {
		after, err := p.usage(ctx)
		r.used = after.since(before)
		return after.requests["POST"] >= posts, err
	})
	return r, err
}

func (r *row) hold(held bool, format string, args ...any) {
	r.budgets = append(r.budgets, budget{fmt.Sprintf(format, args...), held})
}

func (r *row) holdCalls(patches, events int) {
	r.hold(r.used.requests["PATCH"] == float64(patches), "%d PATCH", patches)
	r.hold(r.used.requests["POST"] == float64(events), "%d events", events)
	r.hold(r.used.requests["GET"] == 0, "no LIST and no GET")
}

func manyToMany(ctx context.Context, b *bench) (row, error) {
	const n = 500
	space, err := b.space(ctx, "inpod-bench-many")
	if err != nil {
		return row{}, err
	}
	err = each(n, func(i int) error {
		if err := b.configMap(ctx, space, fmt.Sprintf("c-%d", i)); err != nil {
			return err
		}
		return b.deployment(ctx, space, fmt.Sprintf("d-%d", i), fmt.Sprintf("c-%d", i), 1)
	})
	if err != nil {
		return row{}, err
	}
	bare, err := b.bareLoop(ctx, space, n)
	if err != nil {
		return row{}, err
	}
	if err := b.awaitComplete(ctx, space); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx)
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	if err := p.awaitSum(ctx, "inpod_baselines_created_total", n); err != nil {
		return row{}, err
	}
	r, err := p.roll(ctx, n, func() error {
		return each(n, func(i int) error { return b.edit(ctx, space, fmt.Sprintf("c-%d", i), "2") })
	})
	r.bare = bare
	r.holdCalls(n, n)
	r.hold(r.latency <= settle+bare, "settle + the bare loop")
	return r, err
}

func oneToMany(ctx context.Context, b *bench) (row, error) {
	const n = 200
	space, err := b.space(ctx, "inpod-bench-one")
	if err != nil {
		return row{}, err
	}
	if err := b.configMap(ctx, space, "c"); err != nil {
		return row{}, err
	}
	if err := each(n, func(i int) error { return b.deployment(ctx, space, fmt.Sprintf("d-%d", i), "c", 1) }); err != nil {
		return row{}, err
	}
	bare, err := b.bareLoop(ctx, space, n)
	if err != nil {
		return row{}, err
	}
	if err := b.awaitComplete(ctx, space); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx, "--namespaces="+space)
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	if err := p.awaitSum(ctx, "inpod_baselines_created_total", n); err != nil {
		return row{}, err
	}
	r, err := p.roll(ctx, n, func() error { return b.edit(ctx, space, "c", "2") })
	r.bare = bare
	r.holdCalls(n, n)
	r.hold(r.latency <= settle+bare, "settle + the bare loop")
	return r, err
}

func largeSecrets(ctx context.Context, b *bench) (row, error) {
	const n, size = 2000, 50_000
	space, err := b.space(ctx, "inpod-bench-secrets")
	if err != nil {
		return row{}, err
	}
	err = each(n, func(i int) error {
		value := make([]byte, size)
		_, _ = rand.Read(value)
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%d", i), Namespace: space}, Data: map[string][]byte{"key": value},
		}
		_, err := b.Client.CoreV1().Secrets(space).Create(ctx, secret, metav1.CreateOptions{})
		return ignoreExisting(err)
	})
	if err != nil {
		return row{}, err
	}
	if err := b.user(ctx, space, "d-0", corev1.EnvFromSource{
		SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s-0"}},
	}); err != nil {
		return row{}, err
	}
	if err := b.awaitComplete(ctx, space); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx, "--namespaces="+space)
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	if err := p.awaitSum(ctx, "inpod_baselines_created_total", 1); err != nil {
		return row{}, err
	}
	// What only the start needed is given back within a minute or two by Go's runtime.
	lowest := int64(1 << 62)
	err = p.await(ctx, limit, func() (bool, error) {
		now, err := p.usage(ctx)
		lowest = min(lowest, now.rss)
		return lowest < memoryBudget || time.Since(p.started) > 150*time.Second, err
	})
	if err != nil {
		return row{}, err
	}
	r, err := p.roll(ctx, 1, func() error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s-0", Namespace: space}, Data: map[string][]byte{"key": []byte(time.Now().String())}}
		_, err := b.Client.CoreV1().Secrets(space).Update(ctx, secret, metav1.UpdateOptions{})
		return err
	})
	r.holdCalls(1, 1)
	r.hold(r.used.rss < memoryBudget, "under 45 MB after the start, the change included")
	return r, err
}

// memoryBudget is what the controller may have in memory beside 2,000 Secrets of 50 KB, in bytes.
const memoryBudget = 45 << 20

// largeBudget is what it may have beside 10,000 Deployments and 10,000 ConfigMaps, in bytes.
const largeBudget = 120 << 20

func (r *row) holdMemory() { r.hold(r.used.rss < largeBudget, "under 120 MB") }

// smallChange is the measure for largeChange.
func smallChange(ctx context.Context, b *bench) (row, error) {
	const n = 50
	space, err := b.space(ctx, "inpod-bench-small")
	if err != nil {
		return row{}, err
	}
	err = each(n, func(i int) error {
		if err := b.configMap(ctx, space, fmt.Sprintf("c-%d", i)); err != nil {
			return err
		}
		return b.deployment(ctx, space, fmt.Sprintf("d-%d", i), fmt.Sprintf("c-%d", i), 1)
	})
	if err != nil {
		return row{}, err
	}
	if err := b.awaitComplete(ctx, space); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx, "--namespaces="+space)
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	if err := p.awaitSum(ctx, "inpod_baselines_created_total", n); err != nil {
		return row{}, err
	}
	r, err := p.roll(ctx, 1, func() error { return b.edit(ctx, space, "c-7", time.Now().String()) })
	r.holdCalls(1, 1)
	return r, err
}

const (
	largeSpaces = 50
	perSpace    = 200
	large       = largeSpaces * perSpace
)

func (b *bench) largeSpace(i int) string { return fmt.Sprintf("inpod-bench-large-%d", i) }

// populate makes the 10,000 Deployments, once.
func (b *bench) populate(ctx context.Context) error {
	for i := range largeSpaces {
		if _, err := b.Client.CoreV1().Namespaces().Get(ctx, b.largeSpace(i), metav1.GetOptions{}); err == nil {
			continue
		}
		if _, err := b.space(ctx, b.largeSpace(i)); err != nil {
			return err
		}
	}
	fmt.Printf("  making %d ConfigMaps and Deployments\n", large)
	podsOf := map[string]int32{b.largeSpace(7) + "/d-7": 1, b.largeSpace(largeSpaces-1) + "/d-99": 1} // the others are not rolled
	return each(large, func(i int) error {
		space, name := b.largeSpace(i/perSpace), strconv.Itoa(i%perSpace)
		if err := b.configMap(ctx, space, "c-"+name); err != nil {
			return err
		}
		return b.deployment(ctx, space, "d-"+name, "c-"+name, podsOf[space+"/d-"+name])
	})
}

func newBaselines(ctx context.Context, b *bench) (row, error) {
	if err := b.populate(ctx); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx, "--baseline-rate=100")
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	// Nobody knows of a workload that was not reconciled yet what its pods have: the change comes after that.
	var m framework.Metrics
	err = p.await(ctx, limit, func() (bool, error) {
		m, err = p.metrics(ctx)
		return err == nil && m.Sum("inpod_baselines_pending")+m.Sum("inpod_baselines_created_total") >= large, err
	})
	if err != nil {
		return row{}, err
	}
	r, err := p.roll(ctx, 1, func() error { return b.edit(ctx, b.largeSpace(largeSpaces-1), "c-99", "2") })
	if err != nil {
		return r, err
	}
	waiting := m.Sum("inpod_baselines_pending")
	r.hold(r.latency <= settle+time.Second, "a change meanwhile: settle + 1 s (%.0f waited)", waiting)
	err = p.await(ctx, 2*time.Minute, func() (bool, error) {
		m, err := p.metrics(ctx)
		return err == nil && m.Sum("inpod_baselines_pending") == 0, err
	})
	if err != nil {
		return r, err
	}
	r.used, err = p.usage(ctx)
	r.holdMemory()
	r.hold(r.used.requests["POST"] <= 60, "no events but those of the change and the questions about permissions")
	return r, err
}

func largeRestart(ctx context.Context, b *bench) (row, error) {
	if err := b.populate(ctx); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx)
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	r := row{latency: time.Since(p.started), measured: "start to ready"}
	err = p.await(ctx, limit, func() (bool, error) {
		m, err := p.metrics(ctx)
		return err == nil && m.Sum("inpod_decisions_total") >= large, err
	})
	if err != nil {
		return r, err
	}
	r.used, err = p.usage(ctx)
	r.hold(r.used.requests["PATCH"] == 0, "no write")
	r.hold(r.latency < 10*time.Second, "ready in seconds")
	r.holdMemory()
	return r, err
}

func largeChange(ctx context.Context, b *bench) (row, error) {
	if err := b.populate(ctx); err != nil {
		return row{}, err
	}
	p, err := b.start(ctx)
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	err = p.await(ctx, limit, func() (bool, error) {
		m, err := p.metrics(ctx)
		return err == nil && m.Sum("inpod_decisions_total") >= large && m.Sum("inpod_workqueue_depth") == 0, err
	})
	if err != nil {
		return row{}, err
	}
	r, err := p.roll(ctx, 1, func() error { return b.edit(ctx, b.largeSpace(7), "c-7", time.Now().String()) })
	r.holdCalls(1, 1)
	r.holdMemory()
	r.hold(r.latency <= settle+time.Second, "settle + 1 s")
	return r, err
}
