//go:build !race

package admission_test

// isRace reports that the tests are built with the race detector, which takes several times the memory.
const isRace = false
