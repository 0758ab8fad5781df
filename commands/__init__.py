"""The subcommands of ``swarmplan``: one file each, its click object is called ``command``."""
