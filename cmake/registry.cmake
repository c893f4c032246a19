# Writes the lists of headers from the registry, so that adding an estimator needs no second list:
# every GRADTHRU_ESTIMATOR(name, ...) has its row functions in src/math/estimators/name.h and its slow
# reference in tests/reference/name.h.
set(registry ${PROJECT_SOURCE_DIR}/include/gradthru/estimators.def)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${registry})
file(STRINGS ${registry} registry_lines REGEX "^GRADTHRU_ESTIMATOR\\(")
set(registry_includes "#pragma once\n// Generated from include/gradthru/estimators.def.\n")
set(registry_references "${registry_includes}")
foreach(line IN LISTS registry_lines)
  string(REGEX REPLACE "^GRADTHRU_ESTIMATOR\\(([a-z0-9_]+).*" "\\1" name "${line}")
  string(APPEND registry_includes "#include \"math/estimators/${name}.h\"\n")
  string(APPEND registry_references "#include \"reference/${name}.h\"\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/row_functions.h
     CONTENT "${registry_includes}" @ONLY)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/reference_functions.h
     CONTENT "${registry_references}" @ONLY)
