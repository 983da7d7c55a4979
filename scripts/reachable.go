//go:build ignore

// Reachable exits with 0 if a URL can be fetched within a few seconds, else it
// says why not. A program of Go's, for the machines that have neither curl nor
// wget; it meets the same proxies as the tools written in Go.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(os.Args[1])
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", os.Args[1], resp.Status)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
