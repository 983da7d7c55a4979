// Package usage tells what this process has used of the computer: processor time and
// memory. It is for tests and benchmarks.
package usage
