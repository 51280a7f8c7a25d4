# Vitis HLS.

proc open_project {args} {
    set name [word open_project $args {-reset}]
    if {[file pathtype $name] ne "relative"} {
        fail "open_project takes a name: $name"
    }
    set ::vivado::project [list $name [file join [pwd] $name]]
}
silent {1 1} set_top set_part open_solution
proc create_clock {args} {
    options create_clock $args {} {-period -name} {0 1}
    set ::vivado::clocked 1
}
proc csim_design {args} { options csim_design $args {} {-argv} {0 0} }
proc csynth_design {args} {
    options csynth_design $args {} {} {0 0}
    set reports [file join [lindex $::vivado::project 1] solution syn report]
    file mkdir $reports
    if {[info exists ::env(BX_CSYNTH)]} {
        file copy $::env(BX_CSYNTH) [file join $reports csynth.xml]
    }
}
# The IP has the streams that the top function has.
proc export_design {args} {
    set got [options export_design $args {} {-format -vendor -library -ipname -version} {0 0}]
    set interfaces {}
    foreach {all width name} [regexp -all -inline {axis_beat<(\d+)>>& (\w+)} [read_whole [dict get $::vivado::files accelerator.cpp]]] {
        dict set interfaces $name [list [expr {[string match s* $name] ? "slave" : "master"}] stream $width]
    }
    set vlnv [dict get $got -vendor]:[dict get $got -library]:[dict get $got -ipname]:[dict get $got -version]
    set folder [file join [lindex $::vivado::project 1] solution impl ip]
    file mkdir $folder
    write_whole [file join $folder component.xml] \
        [dict create vlnv $vlnv pins {ap_clk clock ap_rst_n reset} interfaces $interfaces maps {}]
}
