// Command ren renames: identifiers and packages by their types, comments and pages by tables.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: ren list|apply|prose|text|words TREE [TABLES]")
		os.Exit(2)
	}
	tables := "tables"
	if len(os.Args) > 3 {
		tables = os.Args[3]
	}
	start := time.Now()
	var err error
	switch os.Args[1] {
	case "list":
		err = list(os.Args[2])
	case "apply":
		err = apply(os.Args[2], tables)
	case "prose":
		err = prose(os.Args[2], tables)
	case "text":
		err = text(os.Args[2], tables)
	default:
		err = fmt.Errorf("unknown command %s", os.Args[1])
	}
	fmt.Fprintf(os.Stderr, "ren %s: %.1f s\n", os.Args[1], time.Since(start).Seconds())
	if err != nil {
		fmt.Fprintln(os.Stderr, "ren:", err)
		os.Exit(1)
	}
}
