// Package presets runs the sidecar against real servers: "make test-presets", build tag presets.
//
// Each server is started on loopback with a configuration of its own below a temporary directory. Then the sidecar's
// binary watches it while the configuration is edited well, edited badly, and edited well again; once as a directory
// written the way the kubelet does it, and once as an ordinary folder. packages.sh installs the servers; one that is
// not installed fails its test.
//
// The matrix (matrix_test.go) edits each kind of file that a server takes in each way, and asks the server what it uses
// afterwards. A server is described in servers_NAME_test.go: add it to webApps or dataApps, run the tests with -update,
// then go test ./internal/preset -update, and read the diff of docs/presets.md.
package presets
