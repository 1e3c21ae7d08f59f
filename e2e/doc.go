// Package e2e holds the tests of inpod on a real cluster; they have the build tag e2e. `make test-e2e` runs them.
//
// Two controllers for the whole suite work in all namespaces, as most people install it; one settles for longer than the
// other. A test that needs other settings, or has to stop or kill a controller, installs one of its own that is limited
// to the namespace of the test.
//
// No two controllers ever handle the same workload: each follows annotation keys of its own (see keys_test.go), so that
// the suite also leaves alone, and is left alone by, an inpod or a Reloader that is on the cluster already.
//
// A promise that nothing happens is tested with a marker: a change that has to lead to a rollout, made after the one
// that must not. When the marker was rolled, the other was decided too.
package e2e
