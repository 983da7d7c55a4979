//go:build !unix

package measure

import "time"

// This system has no call for the processor time and the peak of the memory.

func cpu() time.Duration { return 0 }

func peak() int64 { return 0 }
