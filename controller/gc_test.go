package main

import (
	"runtime/debug"
	"testing"
)

// Not parallel: it changes what holds for the whole process.
func TestGarbageIsCollectedEarlierUnlessGOGCIsSet(t *testing.T) { //nolint:paralleltest // see above
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	collectOften(func(string) string { return "100" })
	if is := debug.SetGCPercent(100); is != 100 {
		t.Errorf("with GOGC it is %d", is)
	}
	collectOften(func(string) string { return "" })
	if is := debug.SetGCPercent(100); is != gcPercent {
		t.Errorf("without GOGC it is %d", is)
	}
}
