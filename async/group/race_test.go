//go:build race

package group_test

const raceEnabled = true // the race detector needs memory itself
