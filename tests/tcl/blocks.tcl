# Vivado: the block design.

set ::vivado::ip_versions {
    processing_system7 {5.5} zynq_ultra_ps_e {3.4} axi_dma {7.1} smartconnect {1.0} proc_sys_reset {4.9 5.0}
}
# property -> what it is after a board's preset. Presets switch on more than is used here.
set ::vivado::ip_properties {
    axi_dma {c_include_sg 1 c_sg_include_stscntrl_strm 1 c_sg_length_width 14 c_addr_width 32 c_m_axi_mm2s_data_width 32
        c_m_axis_mm2s_tdata_width 32 c_m_axi_s2mm_data_width 32 c_s_axis_s2mm_tdata_width 32 c_mm2s_burst_size 16
        c_s2mm_burst_size 16}
    smartconnect {NUM_SI 1 NUM_MI 1}
    proc_sys_reset {}
    processing_system7 {PCW_USE_M_AXI_GP0 1 PCW_USE_M_AXI_GP1 1 PCW_EN_CLK0_PORT 1 PCW_EN_RST0_PORT 1
        PCW_USE_S_AXI_GP0 0 PCW_USE_S_AXI_GP1 0 PCW_USE_S_AXI_ACP 0 PCW_FPGA0_PERIPHERAL_FREQMHZ 50}
    zynq_ultra_ps_e {PSU__USE__M_AXI_GP0 1 PSU__USE__M_AXI_GP1 1 PSU__USE__M_AXI_GP2 0 PSU__FPGA_PL0_ENABLE 1
        PSU__USE__FABRIC__RST 1 PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100}
}
# The processors' ports for the memory: property that switches one on, interface, clock, property with its width.
set ::vivado::memory_ports {
    processing_system7 {
        S_AXI_GP0 S_AXI_GP0 S_AXI_GP0_ACLK {}
        S_AXI_GP1 S_AXI_GP1 S_AXI_GP1_ACLK {}
        S_AXI_ACP S_AXI_ACP S_AXI_ACP_ACLK {}
    }
    zynq_ultra_ps_e {
        S_AXI_GP0 S_AXI_HPC0_FPD saxihpc0_fpd_aclk {}
        S_AXI_GP1 S_AXI_HPC1_FPD saxihpc1_fpd_aclk {}
        S_AXI_GP6 S_AXI_LPD saxi_lpd_aclk {}
    }
}
foreach number {0 1 2 3} {
    dict lappend ::vivado::memory_ports processing_system7 S_AXI_HP$number S_AXI_HP$number S_AXI_HP${number}_ACLK \
        PCW_S_AXI_HP${number}_DATA_WIDTH
    dict set ::vivado::ip_properties processing_system7 PCW_USE_S_AXI_HP$number 0
    dict set ::vivado::ip_properties processing_system7 PCW_S_AXI_HP${number}_DATA_WIDTH 64
    set gp [expr {$number + 2}]
    dict lappend ::vivado::memory_ports zynq_ultra_ps_e S_AXI_GP$gp S_AXI_HP${number}_FPD saxihp${number}_fpd_aclk \
        PSU__SAXIGP${gp}__DATA_WIDTH
    dict set ::vivado::ip_properties zynq_ultra_ps_e PSU__USE__S_AXI_GP$gp 0
    dict set ::vivado::ip_properties zynq_ultra_ps_e PSU__SAXIGP${gp}__DATA_WIDTH 128
}
foreach number {0 1 6} {
    dict set ::vivado::ip_properties zynq_ultra_ps_e PSU__USE__S_AXI_GP$number 0
}
set ::vivado::control_ports {
    processing_system7 {M_AXI_GP0 M_AXI_GP0 M_AXI_GP0_ACLK M_AXI_GP1 M_AXI_GP1 M_AXI_GP1_ACLK}
    zynq_ultra_ps_e {M_AXI_GP0 M_AXI_HPM0_FPD maxihpm0_fpd_aclk M_AXI_GP1 M_AXI_HPM1_FPD maxihpm1_fpd_aclk
        M_AXI_GP2 M_AXI_HPM0_LPD maxihpm0_lpd_aclk}
}
set ::vivado::property_prefix {processing_system7 PCW_USE_ zynq_ultra_ps_e PSU__USE__}
# What has a limited choice: pattern of the property, values.
set ::vivado::allowed {
    c_sg_length_width {8 .. 26} c_addr_width {32 .. 64} PCW_S_AXI_HP?_DATA_WIDTH {32 64}
    PSU__SAXIGP?__DATA_WIDTH {32 64 128} PCW_USE_* {0 1} PSU__USE__* {0 1} NUM_?I {1 .. 16} *_data_width {32 64 128 256 512 1024}
    *_tdata_width {8 16 32 64 128 256 512 1024} *_burst_size {2 4 8 16 32 64 128 256}
}
set ::vivado::cells {}
set ::vivado::values {}
set ::vivado::nets {}
set ::vivado::interface_nets {}
set ::vivado::components {}

proc create_bd_design {args} {
    need create_bd_design update_ip_catalog
    set ::vivado::design [word create_bd_design $args]
    dict set ::vivado::files $::vivado::design.bd {}
    foreach folder [dict get $::vivado::properties object:project ip_repo_paths] {
        set component [read_whole [file join $folder component.xml]]
        dict set ::vivado::components [dict get $component vlnv] $component
    }
}
proc get_ipdefs {args} {
    set pattern [word get_ipdefs $args {-quiet}]
    set found {}
    dict for {ip versions} $::vivado::ip_versions {
        foreach version $versions {
            if {[string match $pattern xilinx.com:ip:$ip:$version]} {
                lappend found xilinx.com:ip:$ip:$version
            }
        }
    }
    return $found
}
# A cell is of an IP that is named in the tables above, or of one in the repositories, which is named by its VLNV.
proc create_bd_cell {args} {
    set got [options create_bd_cell $args {} {-type -vlnv} {1 1}]
    set vlnv [dict get $got -vlnv]
    set cell [lindex [dict get $got rest] 0]
    if {[string match xilinx.com:ip:* $vlnv]} {
        lassign [split $vlnv :] vendor library ip version
        if {$version ne [lindex [dict get $::vivado::ip_versions $ip] end]} {
            fail "$ip $version is not the newest"
        }
        dict set ::vivado::values $cell [dict get $::vivado::ip_properties $ip]
    } else {
        set ip $vlnv
        if {![dict exists $::vivado::components $ip]} {
            fail "the repositories hold [dict keys $::vivado::components], not $ip"
        }
    }
    dict set ::vivado::cells $cell $ip
    return object:cell:$cell
}
proc set_cell_property {cell name value} {
    set property [string range $name 7 end]
    if {![string match CONFIG.* $name] || ![dict exists $::vivado::values $cell $property]} {
        fail "[dict get $::vivado::cells $cell] has no property $name"
    }
    dict for {pattern values} $::vivado::allowed {
        if {[string match $pattern $property]} {
            set range [expr {[lindex $values 1] eq ".."}]
            if {$range ? $value < [lindex $values 0] || $value > [lindex $values 2] : $value ni $values} {
                fail "$property of [dict get $::vivado::cells $cell] cannot be $value"
            }
            break
        }
    }
    dict set ::vivado::values $cell $property $value
}
proc apply_bd_automation {args} {
    set got [options apply_bd_automation $args {} {-rule -config} {1 1}]
    set known {processing_system7 {make_external apply_board_preset Master Slave} zynq_ultra_ps_e {apply_board_preset}}
    set ip [dict get $::vivado::cells [string range [lindex [dict get $got rest] 0] 12 end]]
    if {[dict get $got -rule] ne "xilinx.com:bd_rule:$ip"} {
        fail "no rule [dict get $got -rule] for $ip"
    }
    if {[dict get $got -config apply_board_preset] && ![dict exists $::vivado::properties object:project board_part]} {
        fail "the project has no board whose preset could be applied"
    }
    foreach key [dict keys [dict get $got -config]] {
        if {$key ni [dict get $known $ip]} {
            fail "the rule has no setting $key"
        }
    }
}

# --- pins and interfaces of a cell, as its properties make them ---------------------------------------
proc value_of {cell property} { return [dict get $::vivado::values $cell $property] }

# name -> kind: clock, reset, and the same with _out
proc pins_of {cell} {
    set ip [dict get $::vivado::cells $cell]
    switch $ip {
        axi_dma {return {s_axi_lite_aclk clock m_axi_mm2s_aclk clock m_axi_s2mm_aclk clock axi_resetn reset}}
        smartconnect {return {aclk clock aresetn reset}}
        proc_sys_reset {
            return {slowest_sync_clk clock ext_reset_in reset interconnect_aresetn reset_out
                peripheral_aresetn reset_out}
        }
        processing_system7 {set pins {FCLK_CLK0 clock_out FCLK_RESET0_N reset_out}}
        zynq_ultra_ps_e {set pins {pl_clk0 clock_out pl_resetn0 reset_out}}
        default {return [dict get $::vivado::components $ip pins]}
    }
    foreach {name bus clock} [dict get $::vivado::control_ports $ip] {
        if {[value_of $cell [dict get $::vivado::property_prefix $ip]$name]} {
            dict set pins $clock clock
        }
    }
    foreach {name bus clock width} [dict get $::vivado::memory_ports $ip] {
        if {[value_of $cell [dict get $::vivado::property_prefix $ip]$name]} {
            dict set pins $clock clock
        }
    }
    return $pins
}
# name -> role, protocol, width ("" where it is converted or does not matter)
proc interfaces_of {cell} {
    set ip [dict get $::vivado::cells $cell]
    set found {}
    switch $ip {
        axi_dma {
            return [list S_AXI_LITE {slave mm {}} M_AXI_MM2S {master mm {}} M_AXI_S2MM {master mm {}} \
                M_AXIS_MM2S [list master stream [value_of $cell c_m_axis_mm2s_tdata_width]] \
                S_AXIS_S2MM [list slave stream [value_of $cell c_s_axis_s2mm_tdata_width]]]
        }
        smartconnect {
            foreach {letter role property} {S slave NUM_SI M master NUM_MI} {
                for {set i 0} {$i < [value_of $cell $property]} {incr i} {
                    dict set found [format %s%02d_AXI $letter $i] [list $role mm {}]
                }
            }
            return $found
        }
        proc_sys_reset {return {}}
        processing_system7 - zynq_ultra_ps_e {
            foreach {name bus clock} [dict get $::vivado::control_ports $ip] {
                if {[value_of $cell [dict get $::vivado::property_prefix $ip]$name]} {
                    dict set found $bus {master mm {}}
                }
            }
            foreach {name bus clock width} [dict get $::vivado::memory_ports $ip] {
                if {[value_of $cell [dict get $::vivado::property_prefix $ip]$name]} {
                    dict set found $bus {slave mm {}}
                }
            }
            return $found
        }
        default {return [dict get $::vivado::components $ip interfaces]}
    }
}
proc known_pin {list_of path} {
    lassign [split [string trimleft $path /] /] cell pin
    if {![dict exists $::vivado::cells $cell]} {
        fail "there is no cell $cell"
    }
    set pins [$list_of $cell]
    if {![dict exists $pins $pin]} {
        fail "[dict get $::vivado::cells $cell] has no pin $pin"
    }
    return [dict get $pins $pin]
}
proc get_bd_pins {args} {
    set path [word get_bd_pins $args]
    known_pin pins_of $path
    return $path
}
proc get_bd_intf_pins {args} {
    set path [word get_bd_intf_pins $args]
    known_pin interfaces_of $path
    return $path
}
proc connect_bd_net {args} {
    lassign [dict get [options connect_bd_net $args {} {} {2 2}] rest] source target
    set from [known_pin pins_of $source]
    if {$from ne "[known_pin pins_of $target]_out"} {
        fail "$source does not drive $target"
    }
    if {[dict exists $::vivado::nets $target]} {
        fail "$target has two drivers"
    }
    dict set ::vivado::nets $target $source
}
proc connect_bd_intf_net {args} {
    lassign [dict get [options connect_bd_intf_net $args {} {} {2 2}] rest] master slave
    lassign [known_pin interfaces_of $master] first protocol
    lassign [known_pin interfaces_of $slave] second other
    if {$first ne "master" || $second ne "slave" || $protocol ne $other} {
        fail "$master cannot be joined to $slave"
    }
    foreach path [list $master $slave] {
        if {[dict exists $::vivado::interface_nets $path]} {
            fail "$path is joined twice"
        }
    }
    dict set ::vivado::interface_nets $master $slave
    dict set ::vivado::interface_nets $slave $master
}

# --- checks of the whole ------------------------------------------------------------------------------
proc assign_bd_address {args} {
    options assign_bd_address $args {} {} {0 0}
    dict for {cell ip} $::vivado::cells {
        if {[dict exists $::vivado::components $ip]} {
            dict for {name what} [dict get $::vivado::components $ip interfaces] {
                if {[lindex $what 1] eq "mm" && $name ni [dict get $::vivado::components $ip maps]} {
                    fail "$cell/$name has no memory map, and so no address"
                }
            }
        }
    }
}
# Every pin that needs a driver has one, and every interface a partner.
proc validate_bd_design {args} {
    options validate_bd_design $args {} {} {0 0}
    foreach cell [dict keys $::vivado::cells] {
        dict for {pin kind} [pins_of $cell] {
            if {![string match *_out $kind] && ![dict exists $::vivado::nets $cell/$pin]} {
                fail "$cell/$pin is not connected"
            }
        }
        dict for {name what} [interfaces_of $cell] {
            if {![dict exists $::vivado::interface_nets $cell/$name]} {
                fail "$cell/$name is not connected"
            }
            set peer [dict get $::vivado::interface_nets $cell/$name]
            set width [lindex [known_pin interfaces_of $peer] 2]
            if {[lindex $what 1] eq "stream" && [lindex $what 2] != $width} {
                fail "$cell/$name has [lindex $what 2] bits, $peer $width"
            }
        }
        if {[dict get $::vivado::cells $cell] eq "axi_dma"} {
            foreach {memory stream} {c_m_axi_mm2s_data_width c_m_axis_mm2s_tdata_width c_m_axi_s2mm_data_width
                c_s_axis_s2mm_tdata_width} {
                if {[value_of $cell $stream] > [value_of $cell $memory]} {
                    fail "$stream of $cell is wider than $memory"
                }
            }
            if {[value_of $cell c_include_sg]} {
                fail "$cell/M_AXI_SG is not connected"
            }
        }
    }
}
proc save_bd_design {args} { options save_bd_design $args {} {} {0 0} }
proc make_wrapper {args} {
    set got [options make_wrapper $args {-top} {-files} {0 0}]
    if {[dict get $got -files] ne "object:file:$::vivado::design.bd"} {
        fail "make_wrapper takes the block design"
    }
    need_project make_wrapper
    set path [file join [lindex $::vivado::project 1] ${::vivado::design}_wrapper.v]
    write_whole $path ""
    return $path
}
