module github.com/goqmp/qmp/bench/peers

go 1.26.0

require (
	github.com/digitalocean/go-qemu v0.0.0-20250212194115-ee9b0668d242
	github.com/goqmp/qmp v0.0.0
)

require (
	github.com/digitalocean/go-libvirt v0.0.0-20220804181439-8648fbde413e // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/goqmp/qmp => ../..
