package settings

import (
	"fmt"
	"net"
	"strconv"
)

// Check collects what is wrong with values that could be read. Each problem names the setting, where its value came
// from, and what would be right.
type Check struct {
	// Origin says where the value of the named setting came from.
	Origin   func(name string) string
	Problems []error
}

// Wrong notes a problem of the named setting.
func (c *Check) Wrong(name, format string, args ...any) {
	c.Problems = append(c.Problems, fmt.Errorf("%s: %s", c.Origin(name), fmt.Sprintf(format, args...)))
}

// Err is nil, or a [*UsageError] with every problem.
func (c *Check) Err() error {
	if len(c.Problems) == 0 {
		return nil
	}
	return &UsageError{Problems: c.Problems}
}

// Address wants host:port or :port.
func (c *Check) Address(name, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		c.Wrong(name, "%q is not an address; use host:port or :port with a number, such as 127.0.0.1:9090 or :9090", address)
	}
}
