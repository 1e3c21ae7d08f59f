package admission

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxLimiters bounds the callers, and the namespaces that they ask for, that are remembered.
	maxLimiters = 2048
	// places is how many questions of a kind may be under way; a quarter of them for one caller, and half of them only for the
	// first one of each (see pool).
	places = 16
	// maxAnswer is how much of an answer is read, in bytes: answers are held in memory, too.
	maxAnswer = 512 << 10
)

// allowance is how many questions there may be: in a second, and in a moment.
type allowance struct{ perSecond, atOnce int }

func (a allowance) times(n, of int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(a.perSecond*n)/rate.Limit(of), max(1, a.atOnce*n/of))
}

// questions bound what callers can make the API server be asked:
//
//	one caller                            its allowance, a fifth of it for pods of one namespace
//	all of them                           four times that, half of it for callers that ask no more than a tenth of theirs
//
// So as it takes four callers to use up what all may ask, it takes twenty more to keep one from asking that asks little.
type questions struct {
	each allowance

	mu          sync.Mutex
	limiters    *rows[limiterKey, *rate.Limiter]
	all, modest *rate.Limiter
}

type limiterKey struct {
	share

	isModest bool
}

func newQuestions(each allowance) *questions {
	return &questions{
		each: each, limiters: newRows[limiterKey, *rate.Limiter](maxLimiters),
		all: each.times(2, 1), modest: each.times(2, 1),
	}
}

// allow reports whether a caller may ask now, for pods of a namespace; "" where it is not about one.
func (q *questions) allow(of share, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if of.namespace != "" && !q.limiter(limiterKey{share: of}, 1, 5).AllowN(now, 1) {
		return false
	}
	caller := share{caller: of.caller}
	if !q.limiter(limiterKey{share: caller}, 1, 1).AllowN(now, 1) {
		return false
	}
	isModest := q.limiter(limiterKey{caller, true}, 1, 10).AllowN(now, 1)
	return isModest && q.modest.AllowN(now, 1) || q.all.AllowN(now, 1)
}

// limiter is one for a part of the allowance of a caller.
func (q *questions) limiter(key limiterKey, n, of int) *rate.Limiter {
	limiter, ok := q.limiters.get(key)
	if !ok {
		limiter = q.each.times(n, of)
		q.limiters.put(key.share, key, limiter, 1)
	}
	return limiter
}
