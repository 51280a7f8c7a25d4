# Vivado: projects, files, properties.

proc create_project {args} {
    set got [options create_project $args {-force -in_memory} {-part} {0 2}]
    if {![dict exists $got -part]} {
        fail "create_project without -part"
    }
    set rest [dict get $got rest]
    if {[llength $rest] != ([dict exists $got -in_memory] ? 0 : 2)} {
        fail "create_project takes a name and a folder, or -in_memory: $args"
    }
    if {$::vivado::project ne {}} {
        fail "project [lindex $::vivado::project 0] is still open"
    }
    set ::vivado::project $rest
    set ::vivado::files {}
    if {$rest ne {}} {
        file mkdir [lindex $rest 1]
    }
}
proc need_project {what} {
    if {$::vivado::project eq {}} {
        fail "$what: no project is open"
    }
}
proc close_project {args} {
    options close_project $args {} {} {0 0}
    set ::vivado::project {}
}
proc version {args} {
    options version $args {-short} {} {0 0}
    return 2022.1
}
proc get_parts {args} {
    set name [word get_parts $args {-quiet}]
    return [expr {[setting BX_PART 1] ? [list $name] : {}}]
}
# Two revisions of the board are installed.
proc get_board_parts {args} {
    set pattern [word get_board_parts $args {-quiet}]
    if {![string match *:part0:\\* $pattern]} {
        fail "get_board_parts: one revision of the board is looked for: $pattern"
    }
    set found {}
    if {[setting BX_BOARD 1]} {
        foreach revision {1.10 1.9} {
            lappend found [string map [list * $revision] $pattern]
        }
    }
    return $found
}
proc current_project {} { return object:project }
proc current_fileset {} { return object:fileset }
silent {0 0} update_compile_order update_ip_catalog

# Files of the project, by their names without folders; a module must not be there twice.
proc add_file {path} {
    need_file $path
    set name [file tail $path]
    if {[dict exists $::vivado::files $name]} {
        fail "the project has a file $name already"
    }
    dict set ::vivado::files $name $path
}
proc add_files {args} {
    need_project add_files
    since update_compile_order
    foreach path [word add_files $args {-norecurse -tb} {-cflags -fileset}] {
        add_file $path
    }
}
proc get_files {args} {
    set name [word get_files $args]
    if {![dict exists $::vivado::files $name]} {
        fail "the project has no file $name"
    }
    return object:file:$name
}
# Fails unless every module that is instantiated with parameters is in a file of the project.
proc need_modules {} {
    set text ""
    foreach path [dict values $::vivado::files] {
        append text [read_whole $path] \n
    }
    set defined {}
    foreach {all name} [regexp -all -inline -line {^module (\w+)} $text] {
        lappend defined $name
    }
    foreach {all name} [regexp -all -inline -line {^ +(\w+) (?:#\($|core \($)} $text] {
        if {$name ni [concat $defined begin else]} {
            fail "no file of the project has module $name"
        }
    }
    return $defined
}
# The ports of a module: a dict of name -> {input or output, width}.
proc module_ports {path module} {
    if {![regexp "module $module .*?\\n\\);" [read_whole $path] head]} {
        fail "$path has no module $module"
    }
    set ports {}
    foreach {all direction last name} [regexp -all -inline {(input|output)\s+wire\s+(?:\[(\d+):0\]\s*)?(\w+)} $head] {
        dict set ports $name [list $direction [expr {$last eq "" ? 1 : $last + 1}]]
    }
    return $ports
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
            set_cell_property [string range $target 12 end] $name $value
            continue
        }
        switch -glob $target {
            object:project {set known {board_part ip_repo_paths}}
            object:fileset {set known {top}}
            object:core {set known {name version}}
            object:block:* {set known {range width base_address}}
            object:bus:* {set known {slave_memory_map_ref}}
            default {fail "set_property on $target"}
        }
        if {$name ni $known} {
            fail "$target has no property $name"
        }
        if {$name eq "ip_repo_paths"} {
            since update_ip_catalog
            foreach folder $value {
                if {![file isfile [file join $folder component.xml]]} {
                    fail "there is no IP in $folder"
                }
            }
        }
        dict set ::vivado::properties $target $name $value
    }
}
proc get_property {args} {
    lassign [dict get [options get_property $args {} {} {2 2}] rest] name target
    switch $name,$target {
        PROGRESS,object:run:impl_1 {return [expr {"wait_on_run" in $::vivado::called ? "100%" : "0%"}]}
        DIRECTORY,object:run:impl_1 {return [file join [lindex $::vivado::project 1] bitexpert.runs impl_1]}
        SLACK,object:path:setup - SLACK,object:path:hold {return [expr {$::vivado::clocked ? [setting BX_SLACK 0.5] : "inf"}]}
        default {fail "no property $name of $target"}
    }
}
