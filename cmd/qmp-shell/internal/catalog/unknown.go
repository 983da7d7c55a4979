package catalog

import "context"

// Unknown returns what helps a person whose command the server does not have: "did you mean
// NAME?", or since when QEMU has it, or that it is disabled. The result is "" if nothing is
// known. The server is asked first, as by [Catalog.Load].
func (c *Catalog) Unknown(ctx context.Context, name string) string {
	s, err := c.server(ctx)
	if err != nil || s.command(name) != nil {
		return ""
	}
	return s.why(name)
}
