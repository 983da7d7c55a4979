package main

import (
	"slices"
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	for _, tt := range []struct {
		args   string
		object bool
		want   string
	}{
		{"-nodefaults -accel qtest", false, "-nodefaults -accel tcg -bios halt"},
		{"-machine q35,accel=qtest -S", false, "-machine q35,accel=tcg -S -bios halt"},
		{"-accel qtest -bios own", false, "-accel tcg -bios own"},
		{"-accel tcg -name qtest", false, "-accel tcg -name qtest"},
		{"-machine help", true, "-machine help"},
		{"-mon chardev=mon,mode=control", false, "-mon chardev=mon,mode=control"},
		{"-mon chardev=mon,mode=control -accel qtest", true, "-object monitor-qmp,id=compat_monitor0,chardev=mon -accel tcg -bios halt"},
		{"-mon mon,mode=control,pretty=on,id=a -mon b,mode=control", true, "-object monitor-qmp,id=a,chardev=mon,pretty=on -object monitor-qmp,id=compat_monitor1,chardev=b"},
		{"-mon chardev=mon,mode=readline", true, "-mon chardev=mon,mode=readline"},
		{"-accel", false, "-accel"},
		{"", false, ""},
	} {
		if got := strings.Join(rewrite(strings.Fields(tt.args), "halt", tt.object), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.args, got, tt.want)
		}
	}
}

func TestRewriteLeavesItsArguments(t *testing.T) {
	args := []string{"-accel", "qtest"}
	rewrite(args, "halt", false)
	if !slices.Equal(args, []string{"-accel", "qtest"}) {
		t.Error(args)
	}
}

func TestHaltingFirmware(t *testing.T) {
	image := haltingFirmware()
	if len(image) != 64<<10 || string(image[len(image)-16:][:4]) != "\xfa\xf4\xeb\xfd" {
		t.Errorf("%d bytes, % x", len(image), image[len(image)-16:])
	}
}
