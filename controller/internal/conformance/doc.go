// Package conformance compares inpod with Reloader v1.4.21, thing by thing: its tests hold that each thing is what
// docs/conformance.md says of it, and that what is said to hold it is there. It has no code of its own.
package conformance
