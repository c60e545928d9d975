"""A package, because a dependency installs one of the same name: worker processes must find this one."""
