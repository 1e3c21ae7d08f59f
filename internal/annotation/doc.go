// Package annotation decides what a user asked for: it turns the annotations
// of a workload and of its pod template into a [Policy], and names every value
// that cannot be understood.
//
// It is pure. The meaning of Reloader's annotations is that of Reloader
// v1.4.21, minus faults; docs/adr/0004 lists the differences.
//
//	workload annotations ─┐
//	                      ├─► Read ──► Policy ──► Select(source) ──► auto, search, named or none
//	template annotations ─┘      └───► Problems: key, value, what would be right
package annotation
