package com.optimagrowth;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.function.Consumer;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.stream.function.StreamBridge;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.messaging.Message;

/** Prints each change that it reads as a line of JSON, and sends each line of standard input that holds one. */
@SpringBootApplication
public class OrganizationChanges {

    /** The book's model. */
    public record OrganizationChangeModel(String type, String action, String organizationId, String correlationId) {}

    public static void main(String[] args) {
        SpringApplication.run(OrganizationChanges.class, args);
    }

    @Bean
    Consumer<Message<OrganizationChangeModel>> changes(ObjectMapper json) {
        return message -> {
            print(json, Map.of("read", message.getPayload()));
        };
    }

    @Bean
    CommandLineRunner producer(ApplicationContext context, StreamBridge bridge, ObjectMapper json) {
        return args -> {
            print(json, Map.of("ready", true));
            BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                bridge.send("output", json.readValue(line, OrganizationChangeModel.class));
            }
            // The end of the input is the end of the test.
            System.exit(SpringApplication.exit(context));
        };
    }

    private static void print(ObjectMapper json, Object line) {
        try {
            System.out.println(json.writeValueAsString(line));
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }
}
