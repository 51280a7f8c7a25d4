# A recording stand-in for Vivado and Vitis HLS: it knows the commands, options, IP properties and pins that the
# emitted scripts may use, checks that named files exist, and leaves the files that the real tools would leave.
#
#   tclsh stand_in.tcl SCRIPT [ARGUMENT...]
#
# Environment: BX_SLACK is the slack that the implementation reports (0.5); BX_HANDOFF is gen or srcs (gen), the
# folder of the handoff file; BX_BOARD is 0 if the board's files are not installed; BX_CSYNTH is the report that the
# synthesis leaves (none). Prints the log of calls.

set log {}
proc note {args} {
    lappend ::log $args
}
proc fail {text} {
    error "stand-in: $text"
}

# Checks a command's options. `flags` take no value, `valued` take one, `rest` is the number of other words.
proc options {name words flags valued rest} {
    set others {}
    set found {}
    for {set i 0} {$i < [llength $words]} {incr i} {
        set word [lindex $words $i]
        if {$word in $flags} {
            dict set found $word 1
        } elseif {$word in $valued} {
            incr i
            if {$i >= [llength $words]} {
                fail "$name: $word needs a value"
            }
            dict set found $word [lindex $words $i]
        } elseif {[string match -* $word] && ![string is double $word]} {
            fail "$name has no option $word"
        } else {
            lappend others $word
        }
    }
    if {[llength $others] < [lindex $rest 0] || [llength $others] > [lindex $rest end]} {
        fail "$name takes [join $rest ..] other words, not [llength $others]: $others"
    }
    note $name {*}$words
    dict set found rest $others
    return $found
}
proc need_file {path} {
    if {![file isfile $path]} {
        fail "there is no file $path"
    }
}

# --- what the IPs have ------------------------------------------------------------------------------
set ip_versions {
    processing_system7 {5.5} axi_dma {7.1} smartconnect {1.0} proc_sys_reset {5.0} axis_dwidth_converter {1.0 1.1}
}
set ip_properties {
    processing_system7 {PCW_USE_M_AXI_GP0 PCW_USE_S_AXI_HP0 PCW_FPGA0_PERIPHERAL_FREQMHZ}
    axi_dma {c_include_sg c_sg_include_stscntrl_strm c_sg_length_width c_m_axi_mm2s_data_width
        c_m_axis_mm2s_tdata_width c_m_axi_s2mm_data_width c_s_axis_s2mm_tdata_width c_mm2s_burst_size
        c_s2mm_burst_size}
    smartconnect {NUM_SI NUM_MI}
    proc_sys_reset {}
    axis_dwidth_converter {S_TDATA_NUM_BYTES M_TDATA_NUM_BYTES HAS_TLAST HAS_TKEEP HAS_MI_TKEEP
        S_TDATA_NUM_BYTES.VALUE_SRC HAS_TLAST.VALUE_SRC HAS_TKEEP.VALUE_SRC}
}
# pin -> kind; every pin in (needs one driver) must be connected when the design is validated
set ip_pins {
    processing_system7 {FCLK_CLK0 clock_out FCLK_RESET0_N reset_out M_AXI_GP0_ACLK clock S_AXI_HP0_ACLK clock}
    axi_dma {s_axi_lite_aclk clock m_axi_mm2s_aclk clock m_axi_s2mm_aclk clock axi_resetn reset}
    smartconnect {aclk clock aresetn reset}
    proc_sys_reset {slowest_sync_clk clock ext_reset_in reset interconnect_aresetn reset_out
        peripheral_aresetn reset_out}
    axis_dwidth_converter {aclk clock aresetn reset}
    accelerator {ap_clk clock ap_rst_n reset}
}
# interface -> kind and protocol
set ip_interfaces {
    processing_system7 {M_AXI_GP0 {master mm} S_AXI_HP0 {slave mm}}
    axi_dma {S_AXI_LITE {slave mm} M_AXI_MM2S {master mm} M_AXI_S2MM {master mm} M_AXIS_MM2S {master stream}
        S_AXIS_S2MM {slave stream}}
    smartconnect {S00_AXI {slave mm} S01_AXI {slave mm} M00_AXI {master mm}}
    proc_sys_reset {}
    axis_dwidth_converter {S_AXIS {slave stream} M_AXIS {master stream}}
    accelerator {s_axis {slave stream} m_axis {master stream}}
}
set cells {}
set nets {}
set interface_nets {}
set values {}
set properties {}
set project {}
set files {}
set packaged 0

# --- Vivado: projects and files ---------------------------------------------------------------------
proc create_project {args} {
    set got [options create_project $args {-force} {-part} {2 2}]
    if {![dict exists $got -part]} {
        fail "create_project without -part"
    }
    set ::project [dict get $got rest]
    set ::files {}
    file mkdir [lindex $::project 1]
}
proc close_project {args} {
    options close_project $args {} {} {0 0}
    set ::project {}
}
proc current_project {} { return object:project }
proc current_fileset {} { return object:fileset }
proc add_files {args} {
    set got [options add_files $args {-norecurse -tb} {-cflags -fileset} {1 1}]
    foreach path [lindex [dict get $got rest] 0] {
        need_file $path
        lappend ::files [file tail $path]
    }
}
proc get_files {args} {
    set name [lindex [dict get [options get_files $args {} {} {1 1}] rest] 0]
    if {$name ni $::files} {
        fail "the project has no file $name"
    }
    return object:file:$name
}
proc update_compile_order {args} {
    options update_compile_order $args {} {-fileset} {0 0}
}
proc set_property {args} {
    set got [options set_property $args {} {-dict} {1 3}]
    set rest [dict get $got rest]
    if {[dict exists $got -dict]} {
        set pairs [dict get $got -dict]
        set target [lindex $rest 0]
    } else {
        if {[llength $rest] != 3} {
            fail "set_property takes a name, a value and an object: $args"
        }
        set pairs [lrange $rest 0 1]
        set target [lindex $rest 2]
    }
    if {[llength $pairs] % 2 != 0} {
        fail "set_property -dict takes pairs: $pairs"
    }
    foreach {name value} $pairs {
        if {[string match object:cell:* $target]} {
            set cell [string range $target 12 end]
            set ip [dict get $::cells $cell]
            if {![string match CONFIG.* $name] || [string range $name 7 end] ni [dict get $::ip_properties $ip]} {
                fail "$ip has no property $name"
            }
            dict set ::values $cell $name $value
        } else {
            switch -glob $target {
                object:project {set known {board_part ip_repo_paths}}
                object:fileset {set known {top}}
                object:core {set known {name version}}
                default {fail "set_property on $target"}
            }
            if {$name ni $known} {
                fail "$target has no property $name"
            }
            if {$name eq "ip_repo_paths" && ![file isfile [file join [lindex $value 0] component.xml]]} {
                fail "there is no IP in [lindex $value 0]"
            }
            dict set ::properties $target $name $value
        }
    }
}
proc get_property {args} {
    lassign [dict get [options get_property $args {} {} {2 2}] rest] name target
    switch $name,$target {
        PROGRESS,object:run:impl_1 {return 100%}
        DIRECTORY,object:run:impl_1 {return [file join [lindex $::project 1] bitexpert.runs impl_1]}
        SLACK,object:path:setup - SLACK,object:path:hold {
            return [expr {[info exists ::env(BX_SLACK)] ? $::env(BX_SLACK) : 0.5}]
        }
        default {fail "no property $name of $target"}
    }
}

# --- Vivado: the IP packager ------------------------------------------------------------------------
namespace eval ipx {
    proc package_project {args} {
        set got [options ipx::package_project $args {-import_files} {-root_dir -vendor -library -taxonomy} {0 0}]
        set top [dict get $::properties object:fileset top]
        if {"$top.v" ni $::files} {
            fail "the IP packager wants a Verilog top: $top.v is not in $::files"
        }
        file mkdir [dict get $got -root_dir]
        close [open [file join [dict get $got -root_dir] component.xml] w]
        dict set ::properties object:core vendor [dict get $got -vendor]
        dict set ::properties object:core library [dict get $got -library]
        set ::packaged 1
    }
    proc current_core {} {
        if {!$::packaged} {
            fail "no core is packaged"
        }
        return object:core
    }
    proc associate_bus_interfaces {args} {
        set got [options ipx::associate_bus_interfaces $args {} {-busif -clock -reset} {1 1}]
        if {[dict get $got -clock] ne "ap_clk"} {
            fail "no clock [dict get $got -clock]"
        }
        if {[dict exists $got -busif] && [dict get $got -busif] ni {s_axis m_axis}} {
            fail "no interface [dict get $got -busif]"
        }
        if {[dict exists $got -reset] && [dict get $got -reset] ne "ap_rst_n"} {
            fail "no reset [dict get $got -reset]"
        }
    }
    foreach name {create_xgui_files update_checksums save_core} {
        proc $name {args} [list options_of_core ipx::$name]
    }
}
proc options_of_core {name} {
    upvar args args
    if {[dict get [options $name $args {} {} {1 1}] rest] ne "object:core"} {
        fail "$name takes the core"
    }
}

# --- Vivado: the block design -----------------------------------------------------------------------
proc get_board_parts {args} {
    set name [lindex [dict get [options get_board_parts $args {-quiet} {} {1 1}] rest] 0]
    return [expr {[info exists ::env(BX_BOARD)] && !$::env(BX_BOARD) ? {} : [list $name]}]
}
proc update_ip_catalog {args} { options update_ip_catalog $args {} {} {0 0} }
proc create_bd_design {args} {
    set ::design [lindex [dict get [options create_bd_design $args {} {} {1 1}] rest] 0]
    lappend ::files $::design.bd
}
proc get_ipdefs {args} {
    set pattern [lindex [dict get [options get_ipdefs $args {-quiet} {} {1 1}] rest] 0]
    set found {}
    dict for {ip versions} $::ip_versions {
        foreach version $versions {
            if {[string match $pattern xilinx.com:ip:$ip:$version]} {
                lappend found xilinx.com:ip:$ip:$version
            }
        }
    }
    return $found
}
proc create_bd_cell {args} {
    set got [options create_bd_cell $args {} {-type -vlnv} {1 1}]
    lassign [split [dict get $got -vlnv] :] vendor library ip version
    if {$vendor eq "bitexpert"} {
        set core [expr {$::packaged ? "bitexpert:[dict get $::properties object:core library]:[dict get \
            $::properties object:core name]:[dict get $::properties object:core version]" : "bitexpert:hls:accelerator_hls:1.0"}]
        if {[dict get $got -vlnv] ne $core} {
            fail "the repository holds $core, not [dict get $got -vlnv]"
        }
        set ip accelerator
    } elseif {$version ne [lindex [dict get $::ip_versions $ip] end]} {
        fail "$ip $version is not the newest"
    }
    set cell [lindex [dict get $got rest] 0]
    dict set ::cells $cell $ip
    dict set ::values $cell {}
    return object:cell:$cell
}
proc apply_bd_automation {args} {
    set got [options apply_bd_automation $args {} {-rule -config} {1 1}]
    if {[dict get $got -rule] ne "xilinx.com:bd_rule:processing_system7"} {
        fail "no rule [dict get $got -rule]"
    }
    foreach key [dict keys [dict get $got -config]] {
        if {$key ni {make_external apply_board_preset Master Slave}} {
            fail "the rule has no setting $key"
        }
    }
}
proc known_pin {table path} {
    lassign [split [string trimleft $path /] /] cell pin
    if {![dict exists $::cells $cell]} {
        fail "there is no cell $cell"
    }
    set pins [dict get $table [dict get $::cells $cell]]
    if {![dict exists $pins $pin]} {
        fail "[dict get $::cells $cell] has no pin $pin"
    }
    return [dict get $pins $pin]
}
proc get_bd_pins {args} {
    set path [lindex [dict get [options get_bd_pins $args {} {} {1 1}] rest] 0]
    known_pin $::ip_pins $path
    return $path
}
proc get_bd_intf_pins {args} {
    set path [lindex [dict get [options get_bd_intf_pins $args {} {} {1 1}] rest] 0]
    known_pin $::ip_interfaces $path
    return $path
}
proc connect_bd_net {args} {
    lassign [dict get [options connect_bd_net $args {} {} {2 2}] rest] source target
    set from [known_pin $::ip_pins $source]
    if {$from ne "[known_pin $::ip_pins $target]_out"} {
        fail "$source does not drive $target"
    }
    if {[dict exists $::nets $target]} {
        fail "$target has two drivers"
    }
    dict set ::nets $target $source
}
proc connect_bd_intf_net {args} {
    lassign [dict get [options connect_bd_intf_net $args {} {} {2 2}] rest] master slave
    lassign [known_pin $::ip_interfaces $master] first protocol
    lassign [known_pin $::ip_interfaces $slave] second other
    if {$first ne "master" || $second ne "slave" || $protocol ne $other} {
        fail "$master cannot be joined to $slave"
    }
    foreach path [list $master $slave] {
        if {[dict exists $::interface_nets $path]} {
            fail "$path is joined twice"
        }
        dict set ::interface_nets $path 1
    }
    dict set ::interface_nets $slave $master
}
proc assign_bd_address {args} { options assign_bd_address $args {} {} {0 0} }
proc validate_bd_design {args} {
    options validate_bd_design $args {} {} {0 0}
    dict for {cell ip} $::cells {
        dict for {pin kind} [dict get $::ip_pins $ip] {
            if {![string match *_out $kind] && ![dict exists $::nets $cell/$pin]} {
                fail "$cell/$pin is not connected"
            }
        }
        foreach name [dict keys [dict get $::ip_interfaces $ip]] {
            if {$name eq "S01_AXI" && [dict get $::values $cell CONFIG.NUM_SI] < 2} {
                if {[dict exists $::interface_nets $cell/$name]} {
                    fail "$cell has one slave port only"
                }
                continue
            }
            if {![dict exists $::interface_nets $cell/$name]} {
                fail "$cell/$name is not connected"
            }
        }
        if {$ip eq "axis_dwidth_converter"} {
            set value [dict get $::values $cell]
            set in [dict get $value CONFIG.S_TDATA_NUM_BYTES]
            set out [dict get $value CONFIG.M_TDATA_NUM_BYTES]
            if {$in == $out || $in > 512 || $out > 512} {
                fail "$cell cannot convert $in bytes to $out"
            }
        }
    }
}
proc save_bd_design {args} { options save_bd_design $args {} {} {0 0} }
proc make_wrapper {args} {
    set got [options make_wrapper $args {-top} {-files} {0 0}]
    if {[dict get $got -files] ne "object:file:$::design.bd"} {
        fail "make_wrapper takes the block design"
    }
    set path [file join [lindex $::project 1] ${::design}_wrapper.v]
    close [open $path w]
    return $path
}

# --- Vivado: runs and reports -----------------------------------------------------------------------
proc launch_runs {args} {
    set got [options launch_runs $args {} {-to_step -jobs} {1 1}]
    if {[dict get $got -to_step] ne "write_bitstream" || [dict get $::properties object:fileset top] ne "${::design}_wrapper"} {
        fail "launch_runs: no bitstream of the wrapper is asked for"
    }
    set folder [lindex $::project 1]
    set runs [file join $folder [lindex $::project 0].runs impl_1]
    set kind [expr {[info exists ::env(BX_HANDOFF)] ? $::env(BX_HANDOFF) : "gen"}]
    set handoff [file join $folder [lindex $::project 0].$kind sources_1 bd $::design hw_handoff]
    file mkdir $runs $handoff
    close [open [file join $runs ${::design}_wrapper.bit] w]
    close [open [file join $handoff $::design.hwh] w]
}
proc wait_on_run {args} { options wait_on_run $args {} {-timeout} {1 1} }
proc open_run {args} { options open_run $args {} {-name} {1 1} }
proc get_runs {args} { return object:run:[lindex [dict get [options get_runs $args {} {} {1 1}] rest] 0] }
proc get_timing_paths {args} {
    set got [options get_timing_paths $args {-setup -hold} {-max_paths} {0 0}]
    return object:path:[expr {[dict exists $got -setup] ? "setup" : "hold"}]
}
proc report {name flags words} {
    set got [options $name $words $flags {-file} {0 0}]
    close [open [dict get $got -file] w]
}
proc report_utilization {args} { report report_utilization {-hierarchical} $args }
proc report_timing_summary {args} { report report_timing_summary {} $args }

# --- Vitis HLS --------------------------------------------------------------------------------------
proc open_project {args} {
    set name [lindex [dict get [options open_project $args {-reset} {} {1 1}] rest] 0]
    if {[file pathtype $name] ne "relative"} {
        fail "open_project takes a name: $name"
    }
    set ::project [list $name [file join [pwd] $name]]
}
proc set_top {args} { options set_top $args {} {} {1 1} }
proc open_solution {args} { options open_solution $args {-reset} {-flow_target} {1 1} }
proc set_part {args} { options set_part $args {} {} {1 1} }
proc create_clock {args} { options create_clock $args {} {-period -name} {0 0} }
proc csim_design {args} { options csim_design $args {} {-argv} {0 0} }
proc csynth_design {args} {
    options csynth_design $args {} {} {0 0}
    set reports [file join [lindex $::project 1] solution syn report]
    file mkdir $reports
    if {[info exists ::env(BX_CSYNTH)]} {
        file copy $::env(BX_CSYNTH) [file join $reports csynth.xml]
    }
}
proc export_design {args} {
    set got [options export_design $args {} {-format -vendor -library -ipname -version} {0 0}]
    set ::core [dict get $got -vendor]:[dict get $got -library]:[dict get $got -ipname]:[dict get $got -version]
    set folder [file join [lindex $::project 1] solution impl ip]
    file mkdir $folder
    close [open [file join $folder component.xml] w]
}

rename exit real_exit
proc exit {{code 0}} {
    foreach call $::log {
        puts "CALL $call"
    }
    real_exit $code
}
set script [lindex $argv 0]
set argv [lrange $argv 1 end]
set argc [llength $argv]
if {[catch {source $script} message]} {
    puts stderr $message
    real_exit 1
}
exit
