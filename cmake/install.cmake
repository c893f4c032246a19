# Where the library goes: into a Python wheel beside its package, or into a tree that
# find_package(gradthru) finds.
if(SKBUILD)
  install(TARGETS gradthru LIBRARY DESTINATION gradthru/lib COMPONENT python)
  return()
endif()
include(CMakePackageConfigHelpers)
set(gradthru_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gradthru)
install(TARGETS gradthru EXPORT gradthru LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        COMPONENT library)
install(DIRECTORY include/gradthru DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(EXPORT gradthru NAMESPACE gradthru:: FILE gradthruTargets.cmake
        DESTINATION ${gradthru_cmake_dir} COMPONENT library)
configure_package_config_file(cmake/gradthruConfig.cmake.in gradthruConfig.cmake
                              INSTALL_DESTINATION ${gradthru_cmake_dir})
write_basic_package_version_file(gradthruConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradthruConfig.cmake
              ${PROJECT_BINARY_DIR}/gradthruConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/torch.cmake
        DESTINATION ${gradthru_cmake_dir} COMPONENT library)
