# Vivado: synthesis, implementation, reports.

set ::vivado::done {}
set ::vivado::clocked 0
set ::vivado::constraints {}

proc launch_runs {args} {
    set got [options launch_runs $args {} {-to_step -jobs} {1 1}]
    if {[dict get $got -to_step] ne "write_bitstream"
        || [dict get $::vivado::properties object:fileset top] ne "${::vivado::design}_wrapper"} {
        fail "launch_runs: no bitstream of the wrapper is asked for"
    }
    need launch_runs apply_bd_automation assign_bd_address validate_bd_design save_bd_design update_compile_order
    get_files ${::vivado::design}_wrapper.v
    set folder [lindex $::vivado::project 1]
    set runs [file join $folder [lindex $::vivado::project 0].runs impl_1]
    set handoff [file join $folder [lindex $::vivado::project 0].[setting BX_HANDOFF gen] sources_1 bd $::vivado::design hw_handoff]
    file mkdir $runs $handoff
    write_whole [file join $runs ${::vivado::design}_wrapper.bit] bits
    write_whole [file join $handoff $::vivado::design.hwh] handoff
}
silent {1 1} wait_on_run write_checkpoint
proc open_run {args} {
    word open_run $args {} {-name}
    set ::vivado::done {synth opt place route}
    set ::vivado::clocked 1
}
proc get_runs {args} { return object:run:[word get_runs $args] }

# --- without a project --------------------------------------------------------------------------------
proc read_verilog {args} {
    foreach path [word read_verilog $args {-sv}] {
        if {[file extension $path] eq ".sv" && "-sv" ni $args} {
            fail "$path is SystemVerilog"
        }
        add_file $path
    }
}
proc read_xdc {args} {
    set got [options read_xdc $args {} {-mode} {1 1}]
    set path [lindex [dict get $got rest] 0]
    need_file $path
    lappend ::vivado::constraints [dict get $got -mode] $path
}
proc get_ports {args} {
    set name [word get_ports $args]
    if {![dict exists $::vivado::ports $name]} {
        fail "the top has no port $name"
    }
    return object:port:$name
}
proc synth_design {args} {
    set got [options synth_design $args {} {-mode -top -part -flatten_hierarchy} {0 0}]
    set top [dict get $got -top]
    if {[llength [get_parts [dict get $got -part]]] == 0 || $top ni [need_modules]} {
        fail "synth_design: there is no [dict get $got -part], or no module $top"
    }
    set ::vivado::ports [module_ports [dict get $::vivado::files $top.sv] $top]
    foreach {mode path} $::vivado::constraints {
        if {$mode ne [dict get $got -mode]} {
            fail "constraints for $mode in a synthesis of [dict get $got -mode]"
        }
        uplevel #0 [list source $path]
    }
    set ::vivado::done synth
}
foreach {step before} {opt synth place opt route place} {
    proc ${step}_design {args} "
        options ${step}_design \$args {} {-directive} {0 0}
        if {{$before} ni \$::vivado::done} {
            fail {${step}_design before $before}
        }
        lappend ::vivado::done $step
    "
}

# --- reports ------------------------------------------------------------------------------------------
proc need_routed {name} {
    if {"route" ni $::vivado::done} {
        fail "$name: no routed design is open"
    }
}
proc get_timing_paths {args} {
    need_routed get_timing_paths
    set got [options get_timing_paths $args {-setup -hold} {-max_paths} {0 0}]
    return object:path:[expr {[dict exists $got -setup] ? "setup" : "hold"}]
}
proc report_timing_summary {args} {
    need_routed report_timing_summary
    write_whole [dict get [options report_timing_summary $args {} {-file} {0 0}] -file] "timing"
}
proc report_utilization {args} {
    need_routed report_utilization
    set got [options report_utilization $args {-hierarchical -return_string} {} {0 0}]
    if {![dict exists $got -hierarchical]} {
        fail "report_utilization: the table without instances is asked for"
    }
    return [read_whole $::env(BX_UTILIZATION)]
}
