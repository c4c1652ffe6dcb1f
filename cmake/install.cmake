# What `make install` puts where. scripts/install runs this and keeps the list
# of files that `make uninstall` takes away.
install(TARGETS modeld modeld-docker docker-model DESTINATION bin)
if(TARGET modeld-llama)
  # The engine's libraries lie in a folder beside the program.
  set_target_properties(modeld-llama PROPERTIES INSTALL_RPATH $ORIGIN/lib)
  install(TARGETS modeld-llama DESTINATION libexec/modeld)
  install(FILES ${LLAMA_RUNTIME} DESTINATION libexec/modeld/lib)
endif()
if(TARGET modeld-probe)
  install(TARGETS modeld-probe DESTINATION libexec/modeld)
endif()

# `docker model`: the Docker CLI looks for its plugins in this folder.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cli-plugins)
file(CREATE_LINK ../../../bin/docker-model
  ${CMAKE_BINARY_DIR}/cli-plugins/docker-model SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/cli-plugins/docker-model
  DESTINATION lib/docker/cli-plugins)

# The units name the prefix, which is known only when installing.
foreach(kind system user)
  file(GLOB units RELATIVE ${CMAKE_SOURCE_DIR}/packaging CONFIGURE_DEPENDS
    packaging/${kind}/*.in)
  foreach(unit ${units})
    string(REGEX REPLACE "\\.in$" "" made ${CMAKE_BINARY_DIR}/units/${unit})
    install(CODE "configure_file(${CMAKE_SOURCE_DIR}/packaging/${unit}
      ${made} @ONLY)")
    install(FILES ${made} DESTINATION lib/systemd/${kind})
  endforeach()
endforeach()
file(GLOB units CONFIGURE_DEPENDS packaging/system/*.target
  packaging/system/*.socket)
install(FILES ${units} DESTINATION lib/systemd/system)
install(FILES packaging/sysusers.conf DESTINATION lib/sysusers.d
  RENAME modeld.conf)

foreach(section 1 5 8)
  file(GLOB pages CONFIGURE_DEPENDS man/*.${section})
  install(FILES ${pages} DESTINATION share/man/man${section})
endforeach()
