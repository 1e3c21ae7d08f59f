package alert

import (
	"fmt"
	"sync"
	"time"
)

const (
	// tolerated is how many posts in a row may fail before the receiver counts as away.
	tolerated = 3
	// firstAway and lastAway bound the time until a receiver that is away is tried again, which doubles with each failure.
	firstAway = 5 * time.Second
	lastAway  = time.Minute
)

// AwayError says that a post was not tried, because the ones before it got no answer.
type AwayError struct {
	// Until is when the receiver is tried again. It is not part of the message, which so stays the same.
	Until time.Time
}

func (e *AwayError) Error() string {
	return fmt.Sprintf("the receiver does not answer; it is tried again within %s", lastAway)
}

// breaker keeps posts from a receiver that is away: each would take as long as the time-out. One post after each pause finds out
// whether it is back.
type breaker struct {
	mu       sync.Mutex
	failures int
	pause    time.Duration
	until    time.Time
	probing  bool
}

// allow returns an error if a post is not to be tried now. After each nil comes one call of done.
func (b *breaker) allow(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures < tolerated:
		return nil
	case now.Before(b.until):
		return &AwayError{Until: b.until}
	case b.probing:
		return &AwayError{Until: now.Add(firstAway)}
	}
	b.probing = true
	return nil
}

// done notes what became of a post.
func (b *breaker) done(outcome outcome, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	switch outcome {
	case answered:
		b.failures, b.pause = 0, 0
	case unanswered:
		b.failures++
		// Posts that were under way together say one thing, and not several.
		if b.failures >= tolerated && !now.Before(b.until) {
			b.pause = min(max(firstAway, 2*b.pause), lastAway)
			b.until = now.Add(b.pause)
		}
	case cutOff:
	}
}

// outcome is what a post says about the receiver.
type outcome int

const (
	answered   outcome = iota // it is there, whatever it thinks of the post
	unanswered                // no answer, or one that says that it cannot now
	cutOff                    // nothing: the sender stops
)
