# Vivado: the IP packager. A component.xml is, here, a Tcl dict: vlnv, pins (name -> kind), interfaces (name -> role,
# protocol, width), maps (interfaces with a memory map).

set ::vivado::clocked_buses {}
set ::vivado::signals(stream) {tdata tvalid tready}
set ::vivado::signals(mm) {awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready araddr arprot arvalid
    arready rdata rresp rvalid rready}

# What the packager infers of a top: pins from attributes, interfaces from names. Every port must be of one of them.
proc infer {path module} {
    set ports [module_ports $path $module]
    set pins {}
    foreach {all kind name} [regexp -all -inline {xilinx\.com:signal:(clock|reset):1\.0 (\w+)} [read_whole $path]] {
        lassign [dict get $ports $name] direction width
        dict set pins $name [expr {$direction eq "input" ? $kind : "${kind}_out"}]
        dict unset ports $name
    }
    set interfaces {}
    foreach {protocol valid data} {stream tvalid tdata mm arvalid rdata} {
        foreach port [dict keys $ports *_$valid] {
            set name [string range $port 0 end-[expr {[string length $valid] + 1}]]
            foreach signal $::vivado::signals($protocol) {
                if {![dict exists $ports ${name}_$signal]} {
                    fail "interface $name lacks $signal"
                }
            }
            set role [expr {[lindex [dict get $ports $port] 0] eq "input" ? "slave" : "master"}]
            dict set interfaces $name [list $role $protocol [lindex [dict get $ports ${name}_$data] 1]]
        }
    }
    foreach port [dict keys $ports] {
        if {![dict exists $interfaces [string range $port 0 [string last _ $port]-1]]} {
            fail "port $port belongs to no interface"
        }
    }
    return [dict create pins $pins interfaces $interfaces maps {}]
}

namespace eval ipx {
    proc package_project {args} {
        set got [options ipx::package_project $args {-import_files} {-root_dir -vendor -library -taxonomy} {0 0}]
        set top [dict get $::vivado::properties object:fileset top]
        if {![dict exists $::vivado::files $top.v]} {
            fail "the IP packager wants a Verilog top: $top.v is not in [dict keys $::vivado::files]"
        }
        need ipx::package_project update_compile_order
        need_modules
        set ::vivado::component [infer [dict get $::vivado::files $top.v] $top]
        set ::vivado::folder [dict get $got -root_dir]
        set ::vivado::properties [dict merge $::vivado::properties [dict create object:core [dict create vendor [dict get $got -vendor] \
            library [dict get $got -library] name $top version 0.1]]]
        if {[setting BX_MAP 0]} {
            dict set ::vivado::component maps s_axi_control
        }
        file mkdir $::vivado::folder
    }
    proc current_core {} {
        if {![info exists ::vivado::component]} {
            fail "no core is packaged"
        }
        return object:core
    }
    proc interface {name protocol} {
        if {![dict exists $::vivado::component interfaces $name]} {
            fail "no interface $name"
        }
        if {$protocol ne "any" && [lindex [dict get $::vivado::component interfaces $name] 1] ne $protocol} {
            fail "$name is no interface of kind $protocol"
        }
    }
    proc associate_bus_interfaces {args} {
        set got [options ipx::associate_bus_interfaces $args {} {-busif -clock -reset} {1 1}]
        if {[dict exists $got -busif]} {
            interface [dict get $got -busif] any
        }
        lappend ::vivado::clocked_buses {*}[expr {[dict exists $got -busif] ? [list [dict get $got -busif]] : "ap_rst_n"}]
        foreach {option kind} {-clock clock -reset reset} {
            if {[dict exists $got $option] && (![dict exists $::vivado::component pins [dict get $got $option]]
                || [dict get $::vivado::component pins [dict get $got $option]] ne $kind)} {
                fail "no $kind [dict get $got $option]"
            }
        }
    }
    proc get_memory_maps {args} {
        set name [word ipx::get_memory_maps $args {-quiet} {-of_objects}]
        return [expr {$name in [dict get $::vivado::component maps] ? "object:map:$name" : ""}]
    }
    proc get_bus_interfaces {args} {
        set name [word ipx::get_bus_interfaces $args {-quiet} {-of_objects}]
        interface $name mm
        return object:bus:$name
    }
    proc add_memory_map {args} {
        set name [lindex [dict get [options ipx::add_memory_map $args {} {} {2 2}] rest] 0]
        if {$name in [dict get $::vivado::component maps]} {
            fail "there is a memory map $name already"
        }
        return object:map:$name
    }
    proc add_address_block {args} {
        lassign [dict get [options ipx::add_address_block $args {} {} {2 2}] rest] name map
        if {![string match object:map:* $map]} {
            fail "an address block is added to a memory map, not to $map"
        }
        return object:block:$name
    }
    foreach name {create_xgui_files update_checksums} {
        proc $name {args} "word ipx::$name \$args"
    }
    proc save_core {args} {
        if {[word ipx::save_core $args] ne "object:core"} {
            fail "ipx::save_core takes the core"
        }
        need ipx::save_core ipx::create_xgui_files ipx::update_checksums
        foreach name [concat [dict keys [dict get $::vivado::component interfaces]] ap_rst_n] {
            if {$name ni $::vivado::clocked_buses} {
                fail "$name is associated with no clock"
            }
        }
        foreach {name value} {range 4096 width 32} {
            if {"ipx::add_address_block" in $::vivado::called
                && [dict get $::vivado::properties object:block:registers $name] ne $value} {
                fail "the registers have another $name than $value"
            }
        }
        set core [dict get $::vivado::properties object:core]
        dict for {target values} $::vivado::properties {
            if {[string match object:bus:* $target]} {
                dict lappend ::vivado::component maps [dict get $values slave_memory_map_ref]
            }
        }
        dict set ::vivado::component vlnv \
            [dict get $core vendor]:[dict get $core library]:[dict get $core name]:[dict get $core version]
        write_whole [file join $::vivado::folder component.xml] $::vivado::component
    }
}
