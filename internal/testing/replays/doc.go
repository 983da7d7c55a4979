// Package replays has tests that record clients of every package with the real programs,
// and play the recordings to the same clients. It has no other code.
package replays
